package raftgroup

import (
	"sync"
	"time"
)

// contact is the latest time since which a leader is known to have had a commit
// index that is applied here: the age of what a stale read would see. It is a
// time at which the AppendEntries had not been sent yet, not the one at which
// it arrived: a network that was cut delivers old ones when it heals. Raft's own
// LastContact does not tell: it counts heartbeats, which carry no commit index,
// and it is fresh on a replica that has just started and applied nothing yet.
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
// index in it, what is applied here now, and a time before it was sent. A
// contact that waits is not replaced by a newer one, or a stream of them would
// never be proven.
func (c *contact) appended(leaderCommit, applied uint64, sentAfter time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle(applied)
	switch {
	case applied >= leaderCommit:
		c.prove(sentAfter)
	case c.waits == 0:
		c.heard, c.waits = sentAfter, leaderCommit
	}
}

// settle proves the contact that waits, if its index is applied.
func (c *contact) settle(applied uint64) {
	if c.waits > 0 && applied >= c.waits {
		c.prove(c.heard)
		c.waits = 0
	}
}

// prove never goes back: the frames of an old stream may come late.
func (c *contact) prove(at time.Time) {
	if at.After(c.proven) {
		c.proven = at
	}
}

// last is the time of the last proven contact, zero if there is none.
func (c *contact) last(applied uint64) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle(applied)
	return c.proven
}
