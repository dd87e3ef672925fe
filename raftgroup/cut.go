package raftgroup

import (
	"context"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/google/uuid"
	"github.com/hashicorp/raft"
)

// littleHead is how many bytes in memory are not worth a flush before a cut.
const littleHead = 1 << 20

// CutOptions describe a cut.
type CutOptions struct {
	ID      string // uuid; "": a new one
	Purpose string
	TTL     time.Duration // how long replicas keep the view, each on its own clock
	HoldLog bool          // also keep the log from the cut on
	// Lease is a lease on the log, from the cut on, that the same entry takes or
	// renews for the same time; "": none.
	Lease string
	// MaxPause fences the group's writes while the cut commits, and gives the
	// attempt up after that (ErrFenceExpired; it may still commit: End it by its
	// id, and try again); 0: writes go on.
	MaxPause time.Duration
}

// CutResult names a cut.
type CutResult struct {
	ID       string
	Position storage.Position
	Fenced   time.Duration // how long writes waited
}

// Cut proposes a cut, waits until it is applied here, and has a no-op follow it
// at once: otherwise the followers learn that it is committed with the next
// AppendEntries only.
func (g *Group) Cut(ctx context.Context, purpose string, ttl time.Duration) (string, storage.Position, error) {
	r, err := g.CutWith(ctx, CutOptions{Purpose: purpose, TTL: ttl})
	return r.ID, r.Position, err
}

// CutWith is Cut with all options.
func (g *Group) CutWith(ctx context.Context, o CutOptions) (result CutResult, err error) {
	in, err := g.running()
	if err != nil {
		return CutResult{}, err
	}
	if _, ok := in.leads(); !ok {
		return CutResult{}, in.notLeading()
	}
	if result.ID = o.ID; result.ID == "" {
		result.ID = uuid.NewString()
	}
	lift := func() {}
	frame := storage.AppendCut(nil, storage.Cut{ID: result.ID, Purpose: o.Purpose, TTL: o.TTL, HoldLog: o.HoldLog})
	if o.Lease != "" {
		frame = storage.AppendLease(frame, storage.Lease{ID: o.Lease, Purpose: o.Purpose, TTL: o.TTL})
	}
	if o.MaxPause > 0 {
		// What is applied already need not be written while others wait for the view.
		// A little goes with the cut: a flush of its own would cost more syncs.
		if in.shard.Unflushed() > littleHead {
			if _, err := in.shard.Flush(ctx); err != nil {
				return CutResult{}, fmt.Errorf("cut group %d: flush: %w", g.id, err)
			}
		}
		fence, err := in.proposer.raise("cut "+result.ID, o.MaxPause)
		if err != nil {
			return CutResult{}, fmt.Errorf("cut group %d: %w", g.id, err)
		}
		lift = func() { result.Fenced = fence.Lift() }
		defer lift()
		limited, cancel := context.WithTimeoutCause(ctx, o.MaxPause, ErrFenceExpired)
		defer cancel()
		ctx = limited
	}
	index, err := in.proposer.direct(ctx, frame)
	lift() // applied, or given up: the rest does not concern the writers
	if err != nil {
		return result, fmt.Errorf("cut group %d: %w", g.id, err)
	}
	in.proposer.directAsync(storage.AppendNoop(nil))
	var entry raft.Log
	if err := in.entries.GetLog(index, &entry); err != nil {
		return result, fmt.Errorf("cut group %d: entry %d: %w", g.id, index, err)
	}
	result.Position = storage.Position{Index: index, Term: entry.Term}
	return result, nil
}

// Lease takes, or renews, a lease on the log from its entry on. A no-op follows
// it, as it does a cut: a replica that waits until it has applied this entry
// would otherwise learn with the next AppendEntries only that it may.
func (g *Group) Lease(ctx context.Context, l storage.Lease) (uint64, error) {
	index, err := g.command(ctx, storage.AppendLease(nil, l))
	if in, running := g.running(); err == nil && running == nil {
		in.proposer.directAsync(storage.AppendNoop(nil))
	}
	return index, err
}

// End ends the views of cuts and leases, by their ids, in one entry.
func (g *Group) End(ctx context.Context, ids ...string) (uint64, error) {
	var frames []byte
	for _, id := range ids {
		frames = storage.AppendEnd(frames, id)
	}
	return g.command(ctx, frames)
}

// command proposes a command of the cluster's own: neither the fence nor the
// disk reserve holds it.
func (g *Group) command(ctx context.Context, frames []byte) (uint64, error) {
	in, err := g.running()
	if err != nil {
		return 0, err
	}
	if in.held() {
		return 0, in.notLeading()
	}
	return in.proposer.direct(ctx, frames)
}
