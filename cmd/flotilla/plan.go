package main

import (
	"context"
	"fmt"
	"net/url"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/rpc/api"
)

func dryRunFlag() cli.Flag {
	return &cli.BoolFlag{Name: "dry-run", Usage: "show what would be done, and do nothing"}
}

// showPlan asks what a request would do and prints it.
func (s *session) showPlan(ctx context.Context, r apiclient.Request) error {
	r.Query = url.Values{"dry_run": {"true"}}
	body, err := s.api.Do(ctx, r)
	if err != nil {
		return err
	}
	return s.print.print(body, func() (*table, error) { return decodeTable(body, planTable) })
}

func planTable(p api.Plan) *table {
	if isCopy(p.Kind) {
		return copyPlanTable(p)
	}
	t := &table{columns: []column{
		{heading: "GROUP", right: true}, {heading: "NODE"}, {heading: "ROLE"}, {heading: "ACTION"},
		{heading: "LOG ENTRIES", right: true}, {heading: "BYTES", right: true}, {heading: "WHY"},
	}}
	blocked := 0
	for _, g := range p.Groups {
		if g.Why != "" {
			blocked++
			t.add(countCell(g.GroupID), "all", absent, absent, absent, absent, g.Why)
		}
		for _, r := range g.Replicas {
			entries, bytes := absent, absent
			if r.LogEntries != nil {
				entries = countCell(*r.LogEntries)
			}
			if r.Bytes != nil {
				bytes = bytesCell(*r.Bytes)
			}
			t.add(countCell(g.GroupID), r.Node, r.Role, r.Action, entries, bytes, textCell(r.Why))
		}
	}
	t.verdict = fmt.Sprintf("plan of a %s: %s, %d of which would fail as things stand; nothing was done", p.Kind, counted(len(p.Groups), "group"), blocked)
	if p.Kind == api.JobTrim {
		t.verdict = fmt.Sprintf("plan of a trim: %s, %d log entries would be dropped; nothing was done", counted(len(p.Groups), "group"), p.LogEntries)
	}
	return t
}
