package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

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
			Flags: clientFlags(
				&cli.StringFlag{Name: "kind", Usage: "only jobs of this kind: " + strings.Join(api.JobKinds, ", ")},
				&cli.StringSliceFlag{Name: "status", Usage: "only jobs in this status, repeatable: " + strings.Join(api.JobStatuses, ", ")},
				&cli.StringFlag{Name: "group", Usage: "only jobs about this group"},
				&cli.StringFlag{Name: "target", Usage: "only jobs about this node"},
			),
			Action: func(c *cli.Context) error {
				if err := arity(c, 0, 0); err != nil {
					return err
				}
				return listJobs(c)
			},
			Description: `flotilla jobs
flotilla jobs list -o wide
flotilla jobs list --kind resync --target n3 --status running --status stalled`,
		}},
		Description: `flotilla jobs
flotilla jobs --status running
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
				Flags:       clientFlags(&cli.BoolFlag{Name: "watch", Usage: "wait for the job's end and show it live"}),
				Action:      showJob,
				Description: "flotilla job show resync-n3-705ec366-2fe7-4b71-a2d1-63d068db9eb1\nflotilla job resync-n3-705ec366-2fe7-4b71-a2d1-63d068db9eb1 --watch\nflotilla job resync-n3-705ec366-2fe7-4b71-a2d1-63d068db9eb1 -o yaml",
			},
			{
				Name: "cancel", ArgsUsage: "ID", Usage: "end a job",
				Flags:       clientFlags(),
				Action:      cancelJob,
				Description: "flotilla job cancel resync-n3-705ec366-2fe7-4b71-a2d1-63d068db9eb1",
			},
		},
		Description: "flotilla job resync-n3-705ec366-2fe7-4b71-a2d1-63d068db9eb1\nflotilla job cancel resync-n3-705ec366-2fe7-4b71-a2d1-63d068db9eb1",
	}
}

func listJobs(c *cli.Context) error {
	query, err := jobQuery(c)
	if err != nil {
		return err
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	silent := ""
	body, err := s.api.ListOf(c.Context, apiclient.Request{Path: "/v1/admin/jobs", Query: query, Headers: func(h http.Header) {
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

// jobQuery reads the flags that narrow the list.
func jobQuery(c *cli.Context) (url.Values, error) {
	query := url.Values{}
	if err := refuseEmpty(c, "kind", "group", "target"); err != nil {
		return nil, err
	}
	if v := c.String("kind"); v != "" && !slices.Contains(api.JobKinds, v) {
		return nil, usagef("--kind %q is not one of %s", v, strings.Join(api.JobKinds, ", "))
	}
	for _, name := range []string{"kind", "target"} {
		if v := c.String(name); v != "" {
			query.Set(name, v)
		}
	}
	if v := c.String("group"); v != "" {
		id, err := groupID(v)
		if err != nil {
			return nil, err
		}
		query.Set("group", fmt.Sprint(id))
	}
	var statuses []string
	for _, v := range c.StringSlice("status") {
		statuses = append(statuses, strings.Split(v, ",")...)
	}
	for _, v := range statuses {
		if !slices.Contains(api.JobStatuses, v) {
			return nil, usagef("--status %q is not one of %s", v, strings.Join(api.JobStatuses, ", "))
		}
	}
	if len(statuses) > 0 {
		query.Set("status", strings.Join(statuses, ","))
	}
	return query, nil
}

func showJob(c *cli.Context) error {
	s, job, err := oneJob(c)
	if err != nil {
		return err
	}
	if c.Bool("watch") {
		if err := s.watch(c, []*finishedJob{job}); err != nil {
			return err
		}
	}
	return s.printWhole(job)
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
	if isCopy(j.Kind) {
		return copyTable(j), nil
	}
	if len(j.Result) == 0 || string(j.Result) == "null" {
		return nil, nil
	}
	switch j.Kind {
	case api.JobVerify:
		return decodeTable(j.Result, func(r api.VerifyResult) *table { return verifyTable(&r) })
	case api.JobDrill:
		return decodeTable(j.Result, func(r api.DrillResult) *table { return drillTable(&r) })
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

// jobReasonWidth is what a table shows of why a job is, so that a row fits into 140 columns.
const jobReasonWidth = 24

func jobsTable(l api.JobList) *table {
	t := &table{columns: []column{
		{heading: "ID"}, {heading: "GROUP", right: true}, {heading: "TARGET"}, {heading: "STATUS", colours: stateColours}, {heading: "STAGE"},
		{heading: "VERDICT"}, {heading: "DONE", right: true}, {heading: "ETA", right: true}, {heading: "AGE", right: true}, {heading: "REASON", most: jobReasonWidth},
		{heading: "STARTED", wide: true}, {heading: "KIND", wide: true}, {heading: "RATE", wide: true, right: true}, {heading: "FINISHED", wide: true}, {heading: "MODE", wide: true}, {heading: "BYTES / PLANNED", wide: true, right: true}, {heading: "TIME / PLANNED", wide: true, right: true},
		{heading: "LEAVES", wide: true}, {heading: "SOURCES", wide: true}, {heading: "ATTEMPT", wide: true, right: true}, {heading: "PAUSE", wide: true, right: true},
		{heading: "LAST PROGRESS", wide: true}, {heading: "BLOCKED BY", wide: true}, {heading: "ERROR", wide: true}, {heading: "CODE", wide: true},
		{heading: "QUEUED", wide: true, right: true},
	}}
	now := time.Now()
	for i := range l.Jobs {
		j := &l.Jobs[i]
		done, rate, eta, code := absent, absent, absent, absent
		if j.BytesTotal > 0 {
			done = fmt.Sprintf("%d%%", percent(j.BytesDone, j.BytesTotal))
		}
		if j.Rate > 0 && !j.Final() {
			rate = byteRate(j.Rate)
		}
		if j.EtaS != nil && !j.Final() {
			eta = secondsCell(*j.EtaS)
		}
		if j.Code != nil {
			code = string(*j.Code)
		}
		t.add(j.ID, groupCell(j), pointerCell(j.Target), j.Status, pointerCell(j.Stage), pointerCell(j.Verdict), done, eta,
			agoCell(j.StartedAt, now), whyOf(j),
			timeCell(j.StartedAt), j.Kind, rate, timeCell(j.FinishedAt), pointerCell(j.Mode), against(bytesCell(j.BytesDone), bytesCell(j.PlannedBytes)), against(secondsCell(workedOf(j)), secondsCell(j.PlannedS)),
			leavesCell(j), sourcesCell(j), countCell(j.Attempt), secondsCell(j.FenceMs/1000),
			timeCell(j.LastProgressAt), pointerCell(j.BlockedBy), pointerCell(j.Error), code, secondsCell(j.QueuedS))
	}
	return t.orNone("jobs")
}
