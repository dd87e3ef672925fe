package syncing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/walgap"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// ledGroup is a group that this node leads, for those who copy from it.
type ledGroup struct {
	config *Config
	group  *raftgroup.Group
}

// ledError says in the procedure's terms what a group answered.
func ledError(err error) error {
	var elsewhere raftgroup.ErrNotLeader
	switch {
	case err == nil:
		return nil
	case errors.As(err, &elsewhere), errors.Is(err, raftgroup.ErrClosed):
		return fmt.Errorf("%w: %w", resync.ErrNotLeader, err)
	case errors.Is(err, raftgroup.ErrFenceExpired):
		return fmt.Errorf("%w: %w", resync.ErrAborted, err)
	case errors.Is(err, raftgroup.ErrHeld), errors.Is(err, raftgroup.ErrFenced), errors.Is(err, raftgroup.ErrBusy):
		return fmt.Errorf("%w: %w", resync.ErrBusy, err)
	}
	return err
}

// Standing implements resync.Led.
func (l ledGroup) Standing(ctx context.Context, asker membership.ServerID) (resync.LedStanding, error) {
	s, err := l.standing(asker)
	if err == nil && !s.Assigned {
		// The asker may know of an assignment that has not come here yet. Where the meta group has no leader, what is
		// known here is all there is.
		if _, unconfirmed := l.config.Directory.Confirm(ctx); unconfirmed == nil {
			s, err = l.standing(asker)
		}
	}
	return s, err
}

// standing is Standing by the table that this node has.
func (l ledGroup) standing(asker membership.ServerID) (resync.LedStanding, error) {
	term, ok := l.group.LedTerm()
	if !ok {
		return resync.LedStanding{}, resync.ErrNotLeader
	}
	a := l.config.Directory.Table().Assignments[l.group.ID()]
	s := resync.LedStanding{Server: l.group.Self(), Term: term, Lineage: l.group.Lineage(), Epoch: a.Epoch, Assigned: a.Holds(asker.Name)}
	if shard := l.group.Shard(); shard != nil {
		s.Applied = shard.Applied().Index
	}
	members, _, err := l.group.Members()
	if err != nil {
		return s, ledError(err)
	}
	for _, m := range members {
		s.Assigned = s.Assigned || m.ID == asker
	}
	return s, nil
}

// Report implements resync.LedLog.
func (l ledGroup) Report(ctx context.Context, asker membership.ServerID) (resync.LedReport, error) {
	r, err := l.group.LeaderReport(ctx, asker)
	if err != nil {
		return resync.LedReport{}, ledError(err)
	}
	if shard := l.group.Shard(); !r.CanCommit && shard != nil {
		// Its record is what stands for a cut: as high as it can be.
		if r.Durable, err = shard.Flush(ctx); err != nil {
			return resync.LedReport{}, err
		}
	}
	report := resync.LedReport{Leader: walgap.Leader{
		Cluster: l.config.ClusterID(), Group: r.Group, Lineage: r.Lineage, Committed: r.Committed, CanCommit: r.CanCommit,
		First: r.First, Last: r.Last, Terms: termRuns(r.Terms), Record: walgap.Position(r.Durable.Position),
		Points: r.Points, Bytes: uint64(max(r.Bytes, 0)), LogBytes: uint64(max(l.group.Status().LogBytes, 0)),
	}}
	report.Sources, err = l.sources(asker)
	return report, err
}

// sources are the voters whose nodes answer, this one with its flag: what a
// replica is worth it says itself when it is asked for leaves.
func (l ledGroup) sources(asker membership.ServerID) ([]resync.Source, error) {
	members, _, err := l.group.Members()
	if err != nil {
		return nil, ledError(err)
	}
	table := l.config.Directory.Table()
	var out []resync.Source
	for _, m := range members {
		if !m.Voter || m.ID.NodeID == asker.NodeID || m.ID != l.group.Self() && !l.config.Up(m.ID.NodeID) {
			continue
		}
		out = append(out, resync.Source{Server: m.ID, Zone: table.Nodes[m.ID.Name].Zone, Leader: m.ID == l.group.Self()})
	}
	return out, nil
}

// Lease implements resync.LedLog.
func (l ledGroup) Lease(ctx context.Context, id string, from uint64, ttl time.Duration) (uint64, error) {
	if l.group.RenewRecord(id, ttl) == nil { // nothing of it is in the log
		return 0, nil
	}
	index, err := l.group.Lease(ctx, storage.Lease{ID: id, Purpose: "resync", From: from, TTL: ttl})
	return index, ledError(err)
}

// Leased implements resync.LedLog.
func (l ledGroup) Leased(id string) bool {
	if _, err := l.group.RecordView(id); err == nil {
		return true
	}
	leases, err := l.group.Leases()
	return err == nil && slices.ContainsFunc(leases, func(r storage.Record) bool { return r.ID == id })
}

// End implements resync.LedLog.
func (l ledGroup) End(ctx context.Context, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := l.group.End(ctx, ids...)
	return ledError(err)
}

// Cut implements resync.LedCuts. CutWith flushes the head before the fence: the
// fence covers one commit, and what the flusher has to write before it can pin
// the view is small.
func (l ledGroup) Cut(ctx context.Context, ask resync.CutAsk) (resync.CutMade, error) {
	r, err := l.group.CutWith(ctx, raftgroup.CutOptions{ID: ask.ID, Purpose: "resync", TTL: ask.TTL, Lease: ask.Lease, MaxPause: ask.MaxPause})
	return resync.CutMade{ID: ask.ID, Position: r.Position, Fenced: r.Fenced}, ledError(err)
}

// View implements resync.LedCuts.
func (l ledGroup) View(ctx context.Context, id string) (resync.LedView, error) {
	if view, err := l.group.RecordView(id); err == nil {
		return recordView{view}, nil
	}
	shard := l.group.Shard()
	if shard == nil {
		return nil, resync.ErrNotLeader
	}
	view, err := shard.AwaitView(ctx, id)
	if err != nil {
		return nil, err
	}
	return view, nil
}

// recordView is a view that its record closes.
type recordView struct{ *storage.View }

// Close implements resync.LedView.
func (recordView) Close() error { return nil }

// PinRecord implements resync.LedCuts.
func (l ledGroup) PinRecord(ctx context.Context, owner string, ttl time.Duration) (resync.CutMade, error) {
	r, err := l.group.PinRecord(ctx, owner, ttl)
	return resync.CutMade{ID: r.ID, Position: r.Durable.Position}, ledError(err)
}

// Unpin implements resync.LedCuts.
func (l ledGroup) Unpin(id string) { l.group.UnpinRecord(id) }

// Proven implements resync.LedRecord. A new replica is compared once more at a
// cut of its own before it gets a vote (package reconcile), which is what the
// log then holds of it.
func (l ledGroup) Proven(_ context.Context, p resync.Proof) error {
	l.group.NoteRoot(p.Root, storage.Position(p.Position))
	l.config.Proofs.NoteProof(l.group.ID())
	l.config.Logger.Debug("a copy is proven", "group", l.group.ID(), "target", p.Target, "index", p.Position.Index, "root", p.Root)
	return nil
}

// Witness implements resync.LedRecord.
func (l ledGroup) Witness(cutID string, target membership.ServerID) {
	l.config.Proofs.Witness(l.group.ID(), cutID, target.Name)
}

// HoldRecord implements resync.LedRecord.
func (l ledGroup) HoldRecord(_ context.Context, owner string, state []byte) (func(), error) {
	cut, err := storage.ParseState(state)
	if err != nil {
		return nil, err
	}
	release, err := l.group.HoldRecord(owner, cut)
	return release, ledError(err)
}
