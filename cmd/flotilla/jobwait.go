package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/rpc/api"
)

const (
	// firstPoll and maxPoll bound how often a job is asked for: small jobs end before a person sees a delay.
	firstPoll = 20 * time.Millisecond
	maxPoll   = time.Second
	// watchInterval is how often --watch writes a line where there is no terminal.
	watchInterval = time.Second
)

// jobFlags are the flags of every command that starts a job.
func jobFlags(own ...cli.Flag) []cli.Flag {
	return clientFlags(append(own,
		&cli.BoolFlag{Name: "watch", Usage: "show the job live"},
		&cli.BoolFlag{Name: "detach", Usage: "return the job at once and do not wait"})...)
}

// finishedJob is a job with its body as the API gave it.
type finishedJob struct {
	api.Job
	body []byte
}

// startAndWait starts the job that r asks for and waits for its end, unless --detach.
func startAndWait(c *cli.Context, s *session, r apiclient.Request) (*finishedJob, error) {
	body, err := s.api.Do(c.Context, r)
	if err != nil {
		return nil, err
	}
	job := &finishedJob{body: body}
	if err := json.Unmarshal(body, &job.Job); err != nil {
		return nil, fmt.Errorf("answer to %s: %w", r.Path, err)
	}
	if c.Bool("detach") {
		return job, nil
	}
	jobs := []*finishedJob{job}
	return job, s.watch(c, jobs)
}

// watch follows jobs to their ends and shows them meanwhile.
func (s *session) watch(c *cli.Context, jobs []*finishedJob) error {
	every := plainInterval
	if c.Bool("watch") {
		every = watchInterval
	}
	label := "jobs"
	if len(jobs) > 0 {
		label = jobs[0].Kind
	}
	show := newJobBoard(c.App.ErrWriter, label, len(jobs) > 1, every)
	defer show.end()
	return s.follow(c.Context, jobs, show)
}

// outcome is the error that a job's end means for the command that waited for it.
func outcome(j *api.Job) error {
	switch j.Status {
	case api.StatusFailed:
		text := fmt.Sprintf("job %s failed: %s", j.ID, pointerCell(j.Error))
		if j.Code != nil {
			return verdict{exitOfCode(*j.Code), text}
		}
		return errors.New(text)
	case api.StatusCancelled:
		return fmt.Errorf("job %s was cancelled", j.ID)
	}
	return nil
}

// askOnTerminal asks a person before much is done that is safe: elsewhere than on a terminal, and with --yes, it is taken
// for granted.
func askOnTerminal(c *cli.Context, s streams, question string) error {
	if !isTerminal(s.err) || !isTerminal(s.in) {
		return nil
	}
	return askYes(c, s, question)
}

// askYes asks before something is destroyed: --yes answers, a terminal is asked, anything else is wrong usage.
func askYes(c *cli.Context, s streams, question string) error {
	if c.Bool("yes") {
		return nil
	}
	if !isTerminal(s.err) || !isTerminal(s.in) {
		return usagef("%s: give --yes", question)
	}
	fmt.Fprintf(s.err, "%s? [y/N] ", question)
	var answer string
	if _, err := fmt.Fscanln(s.in, &answer); err != nil && !errors.Is(err, io.EOF) && err.Error() != "unexpected newline" {
		return err
	}
	if answer != "y" && answer != "yes" && answer != "Y" {
		return verdict{exitError, "not confirmed, nothing was done"}
	}
	return nil
}
