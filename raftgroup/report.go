package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/hashicorp/raft"
)

// reportTries bounds the looks at a log that is trimmed meanwhile.
const reportTries = 4

// Report is what a replica says of itself before a verdict. It is the replica's
// own word, and not one moment.
type Report struct {
	Group   uint32
	Server  membership.ServerID
	Lineage string // of the data, or of log and vote where there is none; "": none is known
	Running bool   // a Raft instance runs (a held one too)
	Member  bool   // the latest configuration that it knows names it
	Voter   bool   // and gives it a vote
	Held    string // the owner of its hold; "": it is not held
	// Foreign says why nobody can tell whose the data is; "": it is the replica's, or
	// known not to be, which is a Damage.
	Foreign string
	// Damage says how the data failed its own checks as a whole; "": it did not.
	Damage  string
	HasData bool // a shard's file with applied > 0
	// Applied is what the shard's file holds.
	Applied storage.Position
	// CurrentTerm is that of the vote record.
	CurrentTerm uint64
	// First and Last are those of the log, First = Last+1 when it is empty. A log
	// with a hole or an unreadable entry above Applied ends at Applied, and one that
	// opening empties is empty.
	First, Last uint64
	// Terms are the terms of Terms[0].First..Last, oldest first.
	Terms []TermRun
	Bytes int64  // of the shard's file, in disk blocks x 512
	Why   string // what is wrong with the replica; "": nothing is
}

// Report says how this replica stands, also where it does not run. It waits for
// an install, an opening or a stop that is under way.
func (g *Group) Report() (Report, error) {
	r, err := g.openReport()
	if errors.Is(err, ErrClosed) {
		g.opening.Lock()
		defer g.opening.Unlock()
		if _, closed := g.running(); closed != nil {
			r, err = g.closedReport()
		} else {
			r, err = g.openReport()
		}
	}
	if err != nil {
		return Report{}, fmt.Errorf("report of group %d: %w", g.id, err)
	}
	_, r.Why = g.condition()
	if h := g.currentHold(); h != nil {
		r.Held = h.owner
	}
	return r, nil
}

// newDataLimit bounds the flush before a report.
const newDataLimit = 10 * time.Second

// ReportFlushed is Report of a replica that a verdict is wanted on. Data that
// no flush has written yet count for nothing in one: a replica that holds only
// such would be copied whole, and writes them first.
func (g *Group) ReportFlushed(ctx context.Context) (Report, error) {
	r, err := g.Report()
	if err != nil || !r.Running || r.HasData || r.Damage != "" || r.Held != "" {
		return r, err
	}
	shard := g.Shard()
	if shard == nil || shard.Applied().Index == 0 {
		return r, nil
	}
	ctx, cancel := context.WithTimeout(ctx, newDataLimit)
	defer cancel()
	if _, err := shard.Flush(ctx); err != nil {
		return r, nil // what is on disk is the truth all the same
	}
	return g.Report()
}

// ReportAtOpen is the report as it was when this process first opened the group,
// before Raft ran: the gap at node start. False while it was never opened.
func (g *Group) ReportAtOpen() (Report, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.atOpen == nil {
		return Report{}, false
	}
	return *g.atOpen, true
}

// openReport is the report of a replica that runs, or ErrClosed.
func (g *Group) openReport() (Report, error) {
	in, err := g.running()
	if err != nil {
		return Report{}, err
	}
	d := in.shard.Durable()
	r := Report{
		Group: g.id, Server: in.self, Lineage: in.lineage, Running: true,
		HasData: d.Index > 0, Applied: d.Position, CurrentTerm: in.raft.CurrentTerm(),
		Bytes: in.shard.Stats().Bytes,
	}
	suffrage, member := suffrageOf(in.configuration(), in.self)
	r.Member, r.Voter = member, member && suffrage == raft.Voter
	if err := in.shard.Err(); errors.Is(err, storage.ErrDamaged) {
		r.Damage, r.HasData = err.Error(), false
	}
	r.First, r.Last, r.Terms, err = spanOf(in.entries, d.Index)
	return r, err
}

// closedReport is the report of a replica that does not run. The caller holds
// opening.
func (g *Group) closedReport() (Report, error) {
	o := &opening{host: g.host, group: g.id, birth: g.wanted.Birth, assigned: g.wanted.Assigned}
	var err error
	o.known = slices.Contains(g.host.config.Engine.Groups(), g.id)
	if o.entries, err = g.host.config.Engine.Open(g.id); err != nil {
		return Report{}, fmt.Errorf("open log: %w", err)
	}
	h := g.currentHold()
	if h != nil {
		o.shard = h.base
	}
	e, err := o.evidence()
	if err == nil && h != nil && h.base != nil {
		var id storage.Identity
		id, err = h.base.Identity()
		e.Shard.Lineage, o.shard = id.Lineage, nil
	}
	var r Report
	if err == nil {
		o.evident = e
		r = o.reportAtOpen(Decide(e))
	}
	return r, errors.Join(err, o.closeParts())
}

// reportAtOpen is the report of a group for which d was decided.
func (o *opening) reportAtOpen(d Decision) Report {
	e := o.evident
	r := Report{
		Group: o.group, Server: d.Server(o.host.config.Self), Lineage: e.Shard.Lineage,
		Damage: e.Shard.Damage, HasData: e.Shard.Index > 0,
		Applied:     storage.Position{Index: e.Shard.Index, Term: e.Shard.Term},
		CurrentTerm: e.Vote.CurrentTerm, Why: d.Why,
	}
	if e.Shard.Strange {
		r.Foreign, r.Damage = r.Damage, ""
	}
	if !r.HasData || r.Lineage == "" {
		r.Lineage = d.Lineage
	}
	if o.shard != nil {
		r.Bytes = o.shard.Stats().Bytes
	} else if info, err := os.Stat(o.host.shardPath(o.group)); err == nil {
		r.Bytes = info.Size()
	}
	switch {
	case d.Action == ActionJoin || d.Action == ActionBootstrap:
		r.First = 1
	case d.ResetLog > 0:
		r.First, r.Last = d.ResetLog, d.ResetLog-1
	default:
		var err error
		if r.First, r.Last, r.Terms, err = spanOf(o.entries, e.Shard.Index); err != nil {
			r.First, r.Last, r.Terms = e.Shard.Index+1, e.Shard.Index, nil
		}
	}
	return r
}

// spanOf gives what of a log a verdict may count on, for data that is applied
// through an index. A hole or a bad entry above that ends it there.
func spanOf(entries raftlog.Log, applied uint64) (first, last uint64, terms []TermRun, err error) {
	for range reportTries {
		if first, err = entries.FirstIndex(); err != nil {
			return 0, 0, nil, fmt.Errorf("first index: %w", err)
		}
		if last, err = entries.LastIndex(); err != nil {
			return 0, 0, nil, fmt.Errorf("last index: %w", err)
		}
		switch next := entries.NextIndex(); {
		case last > 0 && first <= applied+1:
		case last == 0 && next > 0 && next <= applied+1:
			return next, next - 1, nil, nil
		default: // nothing, or it begins behind a hole
			return applied + 1, applied, nil, nil
		}
		terms, err = termRuns(entries, first, last)
		var corrupt *raftlog.CorruptError
		switch {
		case errors.As(err, &corrupt):
			return applied + 1, applied, nil, nil
		case errors.Is(err, raft.ErrLogNotFound):
			continue // trimmed, or taken back, meanwhile
		}
		return first, last, terms, err
	}
	return 0, 0, nil, fmt.Errorf("terms of the log: %w", err)
}
