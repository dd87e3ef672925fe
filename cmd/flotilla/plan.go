package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"

	"github.com/urfave/cli/v2"

	"github.com/flotilla-db/flotilla/cmd/internal/apiclient"
	"github.com/flotilla-db/flotilla/rpc/api"
)

func dryRunFlag() cli.Flag {
	return &cli.BoolFlag{Name: "dry-run", Usage: "show what would be done, and do nothing"}
}

// showPlan asks what a request would do and prints it. Its exit code is that of what would come of it.
func (s *session) showPlan(ctx context.Context, r apiclient.Request) error {
	r.Query = url.Values{"dry_run": {"true"}}
	body, err := s.api.Do(ctx, r)
	if err != nil {
		return err
	}
	if err := s.print.print(body, func() (*table, error) { return decodeTable(body, planTable) }); err != nil {
		return err
	}
	var p api.Plan
	if err := json.Unmarshal(body, &p); err != nil {
		return fmt.Errorf("answer to %s: %w", r.Path, err)
	}
	return planOutcome(&p)
}

// planOutcome is the error that the command would end with, as things stand.
func planOutcome(p *api.Plan) error {
	var failing []string
	waiting := 0
	for i := range p.Groups {
		g := &p.Groups[i]
		switch {
		case g.Why != "":
			failing = append(failing, fmt.Sprintf("group %d: %s", g.GroupID, g.Why))
		case g.Resync != nil && g.Resync.Verdict == nil:
			waiting++
			failing = append(failing, fmt.Sprintf("group %d would wait: %s", g.GroupID, cmp.Or(pointerText(g.Resync.BlockedBy), g.Resync.Reason)))
		}
	}
	if len(failing) == 0 {
		return nil
	}
	code := exitError
	switch {
	case p.Kind == api.JobVerify || len(failing) < len(p.Groups):
		code = exitPartial
	case waiting == len(failing):
		code = exitNoLeader
	}
	if len(p.Groups) == 1 {
		return verdict{code, "as things stand, " + failing[0]}
	}
	return verdict{code, fmt.Sprintf("as things stand, %d of %s would fail or wait:", len(failing), counted(len(p.Groups), "group")) + listed(failing)}
}

// listed are lines below a line, as many as are read.
func listed(lines []string) string {
	text := ""
	for i, line := range lines {
		if i == maxFailures {
			return text + fmt.Sprintf("\n  and %d more", len(lines)-i)
		}
		text += "\n  " + line
	}
	return text
}

func pointerText(s *string) string {
	if s == nil {
		return ""
	}
	return *s
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
