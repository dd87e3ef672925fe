package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/rpc/api"
)

func drillVerb(streams) *cli.Command {
	return &cli.Command{
		Name:  "drill",
		Usage: "damage one replica on purpose, and measure how it is found and repaired",
		Flags: jobFlags(
			&cli.StringFlag{Name: "group", Usage: "number of the group"},
			&cli.StringFlag{Name: "node", Usage: "name of the node whose replica is damaged; it may be the leader's"},
			&cli.StringFlag{Name: "kind", Value: api.DrillBitflip, Usage: strings.Join(api.DrillKinds, ", ")},
			&cli.BoolFlag{Name: "yes", Usage: "do it: without, it is refused"},
		),
		Action: drill,
		Description: `flotilla drill --group 42 --node n2 --yes
flotilla drill --group 42 --node n2 --kind divergent --yes -o json
flotilla drill --group 42 --node n1 --kind truncate --yes --watch

The damage is real: it is done to the file of the running node. It is refused unless the group has three replicas and all
of them are ready. A deep check with repair follows at once, as verify --deep --repair would make it.
  bitflip    a bit of a stored block flips
  truncate   the file loses its end
  stale      the file goes back to what it was before its last commit
  divergent  a value of one point becomes another, and every digest fits it
  missing    points of one device go, and every digest fits that
Exit code 0: the damage was found and repaired, and all replicas are equal; 5: it was not found, or not repaired.`,
	}
}

func drill(c *cli.Context) error {
	if err := arity(c, 0, 0); err != nil {
		return err
	}
	if err := need(c, "group", "node"); err != nil {
		return err
	}
	id, err := groupID(c.String("group"))
	if err != nil {
		return err
	}
	kind := c.String("kind")
	if !slices.Contains(api.DrillKinds, kind) {
		return usagef("--kind %q is not one of %s", kind, strings.Join(api.DrillKinds, ", "))
	}
	if !c.Bool("yes") {
		return usagef("it damages the replica of group %d on %s (%s): give --yes", id, c.String("node"), kind)
	}
	s, err := open(c)
	if err != nil {
		return err
	}
	job, err := startAndWait(c, s, apiclient.Request{Method: http.MethodPost, Path: fmt.Sprintf("/v1/admin/groups/%d/drill", id),
		Body: map[string]any{"node": c.String("node"), "kind": kind}})
	if err != nil {
		return err
	}
	if c.Bool("detach") || job.Status != api.StatusDone {
		return errorsFirst(s.printJob(job), outcome(&job.Job))
	}
	var result api.DrillResult
	if err := json.Unmarshal(job.Result, &result); err != nil {
		return fmt.Errorf("result of job %s: %w", job.ID, err)
	}
	if err := s.print.print(job.body, func() (*table, error) { return drillTable(&result), nil }); err != nil {
		return err
	}
	if !result.Held() {
		return s.judged(c, exitUnhealthy, drillVerdict(&result))
	}
	return nil
}

func drillVerdict(r *api.DrillResult) string {
	what := fmt.Sprintf("group %d on %s: %s", r.GroupID, r.Node, r.Kind)
	switch {
	case !r.Detected:
		return what + " was NOT found: " + textCell(r.Why)
	case !r.Repaired:
		return fmt.Sprintf("%s was found after %d ms and is NOT repaired: %s", what, *r.DetectionMs, textCell(r.Why))
	}
	return fmt.Sprintf("%s was found after %d ms and repaired %d ms later; all replicas are equal", what, *r.DetectionMs, *r.RepairMs)
}

func drillTable(r *api.DrillResult) *table {
	t := &table{verdict: drillVerdict(r), columns: []column{{heading: "WHAT"}, {heading: "HOW"}}}
	role := "follower"
	if r.Leader {
		role = "leader"
	}
	t.add("replica", fmt.Sprintf("group %d on %s, the %s", r.GroupID, r.Node, role))
	t.add("damage", textCell(r.Damage))
	t.add("found by", textCell(r.DetectedBy))
	for i := range r.Findings {
		f := &r.Findings[i]
		t.add("finding", fmt.Sprintf("%s on %s: %s is %s, %s; devices %s", placeOf(f), f.Node, f.Kind, f.Verdict, f.Action, devicesCell(f.Devices)))
	}
	t.add("checks", countCell(r.Checks))
	return t
}

// placeOf names the leaf of a finding.
func placeOf(f *api.Finding) string {
	if f.Window == nil || f.Slot == nil {
		return "the file"
	}
	return fmt.Sprintf("window %d slot %d", *f.Window, *f.Slot)
}
