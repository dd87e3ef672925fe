package raftgroup

import (
	"context"
	"fmt"

	"github.com/flotilla-db/flotilla/membership"
)

// TrimPlan is what Trim would do to this replica now.
type TrimPlan struct {
	First   uint64 // of the log
	Through uint64 // the last entry that would be dropped; First-1: none would
	Bytes   int64  // they take; negative: not known, since only a part of the log would go
	Why     string // what keeps entries that are applied; "": nothing does

	// What this replica has, for the trims of the others: see TrimThrough.
	LastIndex, LastTerm uint64 // its last entry
	Applied             uint64
	Term                uint64 // the one that it is in
}

// Entries is how many would be dropped.
func (p TrimPlan) Entries() uint64 {
	if p.Through < p.First {
		return 0
	}
	return p.Through - p.First + 1
}

// TrimPlan gives what Trim would drop. Nothing is done and nothing is waited for.
func (g *Group) TrimPlan() (TrimPlan, error) {
	in, err := g.running()
	if err != nil {
		return TrimPlan{}, err
	}
	first, err := in.entries.FirstIndex()
	if err != nil {
		return TrimPlan{}, fmt.Errorf("plan a trim of group %d: %w", g.id, err)
	}
	last, err := in.entries.LastIndex()
	if err != nil {
		return TrimPlan{}, fmt.Errorf("plan a trim of group %d: %w", g.id, err)
	}
	p := TrimPlan{Applied: in.shard.Applied().Index, Term: in.raft.CurrentTerm(), Bytes: -1}
	p.LastIndex, p.LastTerm = in.lastEntry()
	if first == 0 { // an empty log
		p.First, p.Through, p.Bytes = p.LastIndex+1, p.LastIndex, 0
		return p, nil
	}
	p.First, p.Through = first, min(last, p.Applied)
	if lease, ok := in.shard.LeaseFloor(); ok && lease <= p.Through {
		p.Through, p.Why = lease-1, fmt.Sprintf("a lease holds the log from entry %d on", lease)
	}
	if !in.leasesKnown() {
		p.Why = "the trim would wait until a leader has committed something here, since leases of before the start are not known"
	}
	if in.held() {
		p.Through, p.Why = first-1, "the replica waits for an install"
	} else if h := in.records.current(); h != nil && h.view != nil && h.at.Index <= p.Through {
		p.Through, p.Why = h.at.Index-1, fmt.Sprintf("a copy from the record at %d holds the log from there on", h.at.Index)
	}
	switch {
	case p.Through < first:
		p.Through, p.Bytes = first-1, 0
	case p.Through == last:
		p.Bytes = in.entries.Bytes()
	}
	return p, nil
}

// TransferTarget gives the voter that TransferLeadership(to) would hand the
// leadership to now.
func (g *Group) TransferTarget(ctx context.Context, to membership.ServerID) (membership.ServerID, error) {
	in, err := g.running()
	if err != nil {
		return membership.ServerID{}, err
	}
	if _, ok := in.leads(); !ok {
		return membership.ServerID{}, in.notLeading()
	}
	target, err := g.transferTarget(ctx, in, to)
	if err != nil {
		return membership.ServerID{}, fmt.Errorf("transfer leadership of group %d: %w", g.id, err)
	}
	return target, nil
}
