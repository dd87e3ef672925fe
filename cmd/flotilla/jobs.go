package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/rpc/api"
)

func jobsVerb(streams) *cli.Command {
	return &cli.Command{
		Name:  "jobs",
		Usage: "the jobs of every node, newest first",
		Subcommands: []*cli.Command{{
			Name:  "list",
			Usage: "every job that runs, and those that ended lately",
			Flags: clientFlags(),
			Action: func(c *cli.Context) error {
				if err := arity(c, 0, 0); err != nil {
					return err
				}
				return listJobs(c)
			},
			Description: `flotilla jobs
flotilla jobs list -o wide`,
		}},
		Description: `flotilla jobs
flotilla jobs list -o json`,
	}
}

func jobVerb(streams) *cli.Command {
	return &cli.Command{
		Name:      "job",
		Usage:     "one job",
		ArgsUsage: "ID",
		Subcommands: []*cli.Command{
			{
				Name: "show", ArgsUsage: "ID", Usage: "how far a job is, and what came of it",
				Flags:       clientFlags(),
				Action:      showJob,
				Description: "flotilla job show 01J8ZK7Q\nflotilla job 01J8ZK7Q -o yaml",
			},
			{
				Name: "cancel", ArgsUsage: "ID", Usage: "end a job",
				Flags:       clientFlags(),
				Action:      cancelJob,
				Description: "flotilla job cancel 01J8ZK7Q",
			},
		},
		Description: "flotilla job 01J8ZK7Q\nflotilla job cancel 01J8ZK7Q",
	}
}

func listJobs(c *cli.Context) error {
	s, err := open(c)
	if err != nil {
		return err
	}
	silent := ""
	body, err := s.api.ListOf(c.Context, apiclient.Request{Path: "/v1/admin/jobs", Headers: func(h http.Header) {
		silent = h.Get(api.SilentNodesHeader)
	}})
	if err != nil {
		return err
	}
	if silent != "" {
		fmt.Fprintf(c.App.ErrWriter, "warning: %s did not answer: the jobs of these nodes are missing\n", strings.ReplaceAll(silent, ",", ", "))
	}
	return s.print.print(body, func() (*table, error) { return decodeTable(body, jobsTable) })
}

func showJob(c *cli.Context) error {
	s, job, err := oneJob(c)
	if err != nil {
		return err
	}
	if err := s.printJob(job); err != nil {
		return err
	}
	if f := s.print.format; f != outputTable && f != outputWide {
		return nil
	}
	t, err := resultTable(&job.Job)
	if t == nil || err != nil {
		return err
	}
	if _, err := fmt.Fprintln(s.print.w); err != nil {
		return err
	}
	return s.print.table(t)
}

// cancelJob says of a job that had ended that it had: it is not told apart afterwards.
func cancelJob(c *cli.Context) error {
	s, job, err := oneJob(c)
	if err != nil {
		return err
	}
	had := job.Final()
	r := apiclient.Request{Method: http.MethodDelete, Path: jobPath(job.ID)}
	if job.body, err = s.api.Do(c.Context, r); err != nil {
		return err
	}
	if err := json.Unmarshal(job.body, &job.Job); err != nil {
		return fmt.Errorf("answer to %s: %w", r.Path, err)
	}
	if had {
		fmt.Fprintf(c.App.ErrWriter, "job %s had ended already: %s\n", job.ID, job.Status)
	}
	return s.printJob(job)
}

func jobPath(id string) string { return "/v1/admin/jobs/" + segment(id) }

func oneJob(c *cli.Context) (*session, *finishedJob, error) {
	if err := arity(c, 1, 1); err != nil {
		return nil, nil, err
	}
	s, err := open(c)
	if err != nil {
		return nil, nil, err
	}
	job := &finishedJob{}
	job.body, err = s.api.Get(c.Context, jobPath(c.Args().First()), nil, &job.Job)
	return s, job, err
}

// resultTable is what came of a job, nil where there is nothing to tell beyond its row.
func resultTable(j *api.Job) (*table, error) {
	if len(j.Result) == 0 || string(j.Result) == "null" {
		return nil, nil
	}
	switch j.Kind {
	case api.JobVerify:
		return decodeTable(j.Result, func(r api.VerifyResult) *table { return verifyTable(&r) })
	case api.JobTrim:
		return decodeTable(j.Result, func(r api.TrimResult) *table { return trimTable(&r) })
	case api.JobStepDown:
		return decodeTable(j.Result, func(r api.StepDownResult) *table {
			to := "the voter that was nearest"
			if r.To != nil {
				to = *r.To
			}
			return &table{verdict: fmt.Sprintf("group %d: %s handed the leadership to %s", r.GroupID, r.From, to)}
		})
	}
	return nil, nil
}

func jobsTable(l api.JobList) *table {
	t := &table{columns: []column{
		{heading: "ID"}, {heading: "KIND"}, {heading: "GROUP", right: true}, {heading: "STATUS", colours: stateColours}, {heading: "STAGE"},
		{heading: "DONE", right: true}, {heading: "STARTED"}, {heading: "FINISHED"}, {heading: "REASON"},
		{heading: "TARGET", wide: true}, {heading: "MODE", wide: true}, {heading: "VERDICT", wide: true},
		{heading: "BLOCKED BY", wide: true}, {heading: "ERROR", wide: true},
	}}
	for _, j := range l.Jobs {
		group, reason := "many", pointerCell(j.Reason)
		if j.GroupID != nil {
			group = fmt.Sprint(*j.GroupID)
		}
		if j.Error != nil {
			reason = *j.Error
		}
		done := absent
		if j.BytesTotal > 0 {
			done = fmt.Sprintf("%d%%", 100*j.BytesDone/j.BytesTotal)
		}
		t.add(j.ID, j.Kind, group, j.Status, pointerCell(j.Stage), done, timeCell(j.StartedAt), timeCell(j.FinishedAt), reason,
			pointerCell(j.Target), pointerCell(j.Mode), pointerCell(j.Verdict), pointerCell(j.BlockedBy), pointerCell(j.Error))
	}
	return t
}
