package raftgroup

import (
	"sync"
	"time"
)

// contact is when this replica last heard a leader at a commit index that it
// has applied: the age of what a stale read would see. Raft's own LastContact
// does not tell: it counts heartbeats, which carry no commit index, and it is
// fresh on a replica that has just started and applied nothing yet.
//
// Raft's no-op entries never reach the FSM, so that one at the very end leaves
// the contact unproven until the command behind it is applied.
type contact struct {
	mu     sync.Mutex
	proven time.Time // guarded by mu: zero: never
	heard  time.Time // guarded by mu: of waits
	waits  uint64    // guarded by mu: leader's commit index that is not applied yet; 0: none waits
}

// appended notes an AppendEntries that Raft has taken: the leader's commit
// index in it, and what is applied here now. A contact that waits is not
// replaced by a newer one, or a stream of them would never be proven.
func (c *contact) appended(leaderCommit, applied uint64, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle(applied)
	switch {
	case applied >= leaderCommit:
		c.proven = now
	case c.waits == 0:
		c.heard, c.waits = now, leaderCommit
	}
}

// settle proves the contact that waits, if its index is applied.
func (c *contact) settle(applied uint64) {
	if c.waits > 0 && applied >= c.waits {
		c.proven, c.waits = c.heard, 0
	}
}

// last is the time of the last proven contact, zero if there is none.
func (c *contact) last(applied uint64) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle(applied)
	return c.proven
}
