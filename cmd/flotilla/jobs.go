package main

import (
	"fmt"
	"net/http"

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
				return showList(c, "/v1/admin/jobs", nil, jobsTable)
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

func showJob(c *cli.Context) error {
	return oneJob(c, apiclient.Request{})
}

func cancelJob(c *cli.Context) error {
	return oneJob(c, apiclient.Request{Method: http.MethodDelete})
}

func oneJob(c *cli.Context, r apiclient.Request) error {
	if err := arity(c, 1, 1); err != nil {
		return err
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	r.Path = "/v1/admin/jobs/" + segment(c.Args().First())
	body, err := s.api.Do(c.Context, r)
	if err != nil {
		return err
	}
	return s.print.print(body, func() (*table, error) {
		return decodeTable(body, func(j api.Job) *table { return jobsTable(api.JobList{Jobs: []api.Job{j}}) })
	})
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
