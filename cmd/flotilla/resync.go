package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/rpc/api"
)

func resyncVerb(s streams) *cli.Command {
	return &cli.Command{
		Name:      "resync",
		Usage:     "bring the replicas of a node to equality, by the cheapest way that is safe",
		ArgsUsage: "GROUP...|--all",
		Flags: jobFlags(slices.Concat([]cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "every group that the target holds"},
			&cli.StringFlag{Name: "target", Usage: "name of the node whose replicas it is about"},
			&cli.StringFlag{Name: "from", Usage: "copy from this node only; default: from every replica that can"},
		}, copyFlags())...),
		Action: func(c *cli.Context) error { return resync(c, s) },
		Description: `flotilla resync 42 --target n3 --dry-run
flotilla resync 42 --target n3
flotilla resync --all --target n3 --rate 64MiB --watch
flotilla resync 34 143 --target n3 --from n2 --mode full-sync --yes -o json

The replica stays a voter meanwhile, writes go on, and nothing is replaced before the new data is proven to be the
leader's. Exit code 0: every group is equal; 6: some are, and those that are not are listed; 1: none is. --dry-run ends
with the code that would come of it.`,
	}
}

// copyFlags are the choices of a resync and of a move.
func copyFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "mode", Value: api.ModeAuto,
			Usage: "auto (what the gap asks for), full-sync (everything, nothing is compared) or partial-sync (compare, copy what differs)"},
		dryRunFlag(),
		&cli.StringFlag{Name: "max-pause", Value: "100ms", Usage: "longest pause of a group's writes; an attempt that would need more is given up"},
		&cli.StringFlag{Name: "rate", DefaultText: "storage.sync.rate", Usage: "bytes a second of each group, such as 64MiB; 256KiB is the least"},
		&cli.StringFlag{Name: "leader-share", Value: "50%", Usage: "the most of the bytes that the leader gives; 0: nothing while another source lives"},
		&cli.BoolFlag{Name: "yes", Usage: "do not ask: a terminal is asked before everything is copied, and before a replica is moved"},
	}
}

// copyRequest reads copyFlags into the body of a request. Its errors are usage errors.
func copyRequest(c *cli.Context) (map[string]any, error) {
	body := map[string]any{}
	mode := c.String("mode")
	if !slices.Contains(resyncModes, mode) {
		return nil, usagef("--mode %q is not one of %s", mode, strings.Join(resyncModes, ", "))
	}
	body["mode"] = mode
	pause, err := durationFlag(c, "max-pause")
	if err != nil {
		return nil, err
	}
	if pause <= 0 {
		return nil, usagef("--max-pause %s is not above zero", c.String("max-pause"))
	}
	body["max_pause"] = pause.String()
	if c.IsSet("rate") {
		rate, err := api.ParseSize(c.String("rate"))
		if err != nil {
			return nil, usagef("--rate: %v", err)
		}
		body["rate"] = rate
	}
	share, err := api.ParseShare(c.String("leader-share"))
	if err != nil {
		return nil, usagef("--leader-share: %v", err)
	}
	body["leader_share"] = share
	return body, nil
}

var resyncModes = []string{api.ModeAuto, api.ModeFullSync, api.ModePartialSync}

func resync(c *cli.Context, st streams) error {
	groups, err := groupArguments(c)
	if err != nil {
		return err
	}
	if err := need(c, "target"); err != nil {
		return err
	}
	body, err := copyRequest(c)
	if err != nil {
		return err
	}
	body["target"], body["from"] = c.String("target"), c.String("from")
	s, err := open(c)
	if err != nil {
		return err
	}
	r := apiclient.Request{Method: http.MethodPost, Path: "/v1/admin/resync", Body: body}
	if len(groups) == 1 {
		r.Path = fmt.Sprintf("/v1/admin/groups/%d/resync", groups[0])
	} else {
		body["groups"] = groups
	}
	if c.Bool("dry-run") {
		return s.showPlan(c.Context, r)
	}
	if c.Bool("all") && body["mode"] == api.ModeFullSync { // anything else copies what has to be copied
		question := fmt.Sprintf("resync %s of %s (%s)", countedGroups(groups), c.String("target"), body["mode"])
		if err := askOnTerminal(c, st, question); err != nil {
			return err
		}
	}
	if len(groups) == 1 {
		return s.copyOne(c, r)
	}
	return s.copyMany(c, r)
}

func countedGroups(groups []uint32) string {
	if len(groups) == 0 {
		return "all groups"
	}
	return counted(len(groups), "group")
}

// copyOne runs one resync or move to its end.
func (s *session) copyOne(c *cli.Context, r apiclient.Request) error {
	job, err := startAndWait(c, s, r)
	if err != nil {
		return err
	}
	return errorsFirst(s.printWhole(job), outcome(&job.Job))
}

// copyMany runs the resyncs of several groups to their ends.
func (s *session) copyMany(c *cli.Context, r apiclient.Request) error {
	body, err := s.api.Do(c.Context, r)
	if err != nil {
		return err
	}
	jobs, err := readJobs(body)
	if err != nil {
		return err
	}
	if !c.Bool("detach") {
		if err := s.watch(c, jobs); err != nil {
			return err
		}
	}
	err = s.print.print(joinJobs(jobs), func() (*table, error) { return resyncsTable(jobs), nil })
	if err != nil || c.Bool("detach") {
		return err
	}
	return outcomeOfMany(jobs)
}

// maxFailures bounds the failures that are named on stderr; the result holds all of them.
const maxFailures = 20

// outcomeOfMany is the error that the ends of several jobs mean together: partial where some ended well.
func outcomeOfMany(jobs []*finishedJob) error {
	var failed []*finishedJob
	for _, j := range jobs {
		if j.Status != api.StatusDone {
			failed = append(failed, j)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	code := exitPartial
	if len(failed) == len(jobs) {
		code = exitError
	}
	lines := make([]string, len(failed))
	for i, j := range failed {
		lines[i] = fmt.Sprintf("%s: %s: %s", subjectOf(&j.Job), j.Status, whyOf(&j.Job))
	}
	return verdict{code, fmt.Sprintf("%d of %s did not end well:", len(failed), counted(len(jobs), "resync")) + listed(lines)}
}
