package raftgroup

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// Running reports whether the replica's Raft instance runs.
func (g *Group) Running() bool {
	_, err := g.running()
	return err == nil
}

// FirstLog is the first index of the log, 0 while it is empty.
func (g *Group) FirstLog() (uint64, error) {
	in, err := g.running()
	if err != nil {
		return 0, err
	}
	first, err := in.entries.FirstIndex()
	if err != nil {
		return 0, fmt.Errorf("first index of group %d: %w", g.id, err)
	}
	return first, nil
}

// LastContact is the time since this replica heard a leader, 0 on the leader;
// known is false while it never heard one.
func (g *Group) LastContact() (age time.Duration, known bool) {
	in, err := g.running()
	if err != nil {
		return 0, false
	}
	if in.raft.State() == raft.Leader {
		return 0, true
	}
	last := in.raft.LastContact()
	return time.Since(last), !last.IsZero()
}

// CaughtUp reports whether a leader is known and everything committed, as far
// as this replica has heard, is applied here.
func (g *Group) CaughtUp() bool {
	in, err := g.running()
	if err != nil {
		return false
	}
	_, led := in.leader()
	return led && in.raft.AppliedIndex() >= in.raft.CommitIndex()
}
