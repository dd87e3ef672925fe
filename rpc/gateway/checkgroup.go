package gateway

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// checks are what this node has checked.
type checks struct {
	engine *antientropy.Engine
	known  *conditions
	skips  *skips

	made, skipped, mismatches, repaired, failed atomic.Uint64
}

// maxToldFindings bounds the events and lines of the log that one check of one
// group makes: a replica that is wrong in a thousand leaves must not push out all
// that nodes remember.
const maxToldFindings = 16

// Checked counts what the checks of this node came to since it started.
type Checked struct {
	Made          uint64 // checks that ended
	Skipped       uint64 // those in which not every replica took part
	Mismatches    uint64 // those that found a difference or damage
	Repaired      uint64 // groups that were repaired and found equal afterwards
	RepairsFailed uint64
}

func (c *checks) counts() Checked {
	return Checked{c.made.Load(), c.skipped.Load(), c.mismatches.Load(), c.repaired.Load(), c.failed.Load()}
}

// CheckGroup checks one group, after a check of it that runs already, and keeps
// what came of it: the group's last proof, counters and events. The error is
// that of ctx.
func (g *Gateway) CheckGroup(ctx context.Context, group uint32, o antientropy.Options) (antientropy.Report, error) {
	defer g.checks.known.forget(group)
	r, err := g.checks.engine.Check(ctx, group, o)
	if err != nil {
		return r, err
	}
	g.keepReport(&r)
	return r, nil
}

func (g *Gateway) keepReport(r *antientropy.Report) {
	c := &g.checks
	c.made.Add(1)
	if r.Equal || r.Repaired && r.Unchecked == "" {
		g.proofs.note(r.Group, time.Now())
	}
	if r.Unchecked != "" {
		c.skipped.Add(1)
		c.skips.add(r)
	}
	if r.Damaged {
		c.mismatches.Add(1)
	}
	if r.Repaired {
		c.repaired.Add(1)
	}
	failed, told, more := false, 0, 0
	for i := range r.Findings {
		f := &r.Findings[i]
		failed = failed || f.Action == antientropy.RepairFailed
		switch {
		case f.Verdict == antientropy.Harmless:
		case told < maxToldFindings:
			told++
			g.noteFinding(f)
		default:
			more++
		}
	}
	if more += r.FindingsTotal - len(r.Findings); told > 0 && more > 0 {
		g.Note(api.EventFinding, &r.Group, "", "the check has %d findings more: see flotilla verify %d", more, r.Group)
	}
	if failed {
		c.failed.Add(1)
	}
}

func (g *Gateway) noteFinding(f *antientropy.Finding) {
	where := ""
	if f.Leaf != nil {
		where = " window/slot " + f.Leaf.String()
	}
	g.Note(api.EventFinding, &f.Group, f.Node, "%s%s is %s, action %s: %s", f.Kind, where, f.Verdict, f.Action, f.Why)
	g.logger.Warn("a check found damage", "group", f.Group, "replica", f.Node, "kind", f.Kind, "leaf", where, "verdict", f.Verdict, "action", f.Action, "why", f.Why)
}
