package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/rpc/api"
)

func verifyVerb(streams) *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "compare the roots of all replicas",
		ArgsUsage: "GROUP...|--all",
		Flags: jobFlags(
			&cli.BoolFlag{Name: "all", Usage: "every group that exists"},
			&cli.StringFlag{Name: "mode", Value: api.ModeAdvancedVerify,
				Usage: "advanced-verify (at a cut in the log, writes go on) or verify (as they stand, nothing in the log)"},
		),
		Action: verify,
		Description: `flotilla verify --all
flotilla verify 34 143 -o json
flotilla verify --all --mode verify

-o name prints the groups that are not equal, or could not be checked fully: nothing when all is well.
Exit code 0: every group was checked on all its replicas and is equal; 5: a difference is left;
6: none differs, some could not be checked fully.`,
	}
}

func verify(c *cli.Context) error {
	groups, err := groupArguments(c)
	if err != nil {
		return err
	}
	mode := c.String("mode")
	if mode != api.ModeVerify && mode != api.ModeAdvancedVerify {
		return usagef("--mode %q is not verify or advanced-verify", mode)
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	job, err := startAndWait(c, s, apiclient.Request{Method: http.MethodPost, Path: "/v1/admin/verify",
		Body: map[string]any{"groups": groups, "mode": mode}})
	if err != nil {
		return err
	}
	if c.Bool("detach") {
		return s.printJob(job)
	}
	if err := outcome(&job.Job); err != nil {
		return err
	}
	var result api.VerifyResult
	if err := json.Unmarshal(job.Result, &result); err != nil {
		return fmt.Errorf("result of job %s: %w", job.ID, err)
	}
	if err := s.print.print(job.Result, func() (*table, error) { return verifyTable(&result), nil }); err != nil {
		return err
	}
	if code := result.ExitCode(); code != exitOK {
		return verdict{code: code, text: verifyVerdict(&result)}
	}
	return nil
}

// groupArguments reads GROUP... or --all; an empty list is all.
func groupArguments(c *cli.Context) ([]uint32, error) {
	if c.Bool("all") == (c.NArg() > 0) {
		return nil, usagef("needs GROUP... or --all")
	}
	groups := []uint32{}
	for _, a := range c.Args().Slice() {
		id, err := groupID(a)
		if err != nil {
			return nil, err
		}
		groups = append(groups, id)
	}
	return groups, nil
}

func groupID(argument string) (uint32, error) {
	id, err := strconv.ParseUint(argument, 10, 16)
	if err != nil {
		return 0, usagef("%q is not the number of a group", argument)
	}
	return uint32(id), nil
}

func verifyVerdict(r *api.VerifyResult) string {
	return fmt.Sprintf("%d/%d groups equal, %d damaged, %d unchecked, %d ms",
		r.GroupsEqual, r.GroupsTotal, r.GroupsDamaged, r.GroupsUnchecked, r.DurationMs)
}

func verifyTable(r *api.VerifyResult) *table {
	t := &table{verdict: verifyVerdict(r), columns: []column{
		{heading: "GROUP", right: true}, {heading: "NODE"}, {heading: "KIND"}, {heading: "VERDICT"}, {heading: "ACTION", colours: stateColours}, {heading: "WHY"},
	}}
	for _, f := range r.Findings {
		t.add(countCell(f.GroupID), f.Node, f.Kind, f.Verdict, f.Action, absent)
	}
	for _, u := range r.Unchecked {
		t.add(countCell(u.GroupID), absent, absent, "unchecked", absent, u.Reason)
	}
	return t
}

// printJob prints one job.
func (s *session) printJob(j *finishedJob) error {
	return s.print.print(j.body, func() (*table, error) { return jobsTable(api.JobList{Jobs: []api.Job{j.Job}}), nil })
}
