package main

import (
	"context"
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
	show := newProgress(c.App.ErrWriter, job.Kind, job.BytesTotal, bytesCell)
	defer show.end()
	if c.Bool("watch") {
		show.every = watchInterval
	}
	return s.await(c.Context, job, show)
}

// await polls a job until it has ended. A node that does not answer is asked again for as long as one request may
// take, since the job does not depend on the node that is asked.
func (s *session) await(ctx context.Context, job *finishedJob, show *progress) (*finishedJob, error) {
	pause, answered := firstPoll, time.Now()
	for !job.Final() {
		show.total = job.BytesTotal
		show.set(job.BytesDone, stageOf(&job.Job))
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("job %s goes on (flotilla job %s): %w", job.ID, job.ID, ctx.Err())
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPoll)
		next := &finishedJob{}
		body, err := s.api.Get(ctx, jobPath(job.ID), nil, &next.Job)
		if err == nil {
			next.body, job, answered = body, next, time.Now()
			continue
		}
		if _, unreachable := errors.AsType[*apiclient.UnreachableError](err); !unreachable || time.Since(answered) > s.timeout {
			return nil, err
		}
	}
	return job, nil
}

func stageOf(j *api.Job) string {
	text := j.Status
	if j.Stage != nil {
		text = *j.Stage
	}
	if j.BlockedBy != nil {
		text += ", blocked by " + *j.BlockedBy
	}
	return text
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
