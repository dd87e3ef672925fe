package raftgroup

import (
	"errors"
	"fmt"
)

// ErrAway: the replica waits for an install, or is started again after one: it
// serves nothing, and comes back by itself. It is an ErrClosed.
var ErrAway = errors.New("away for a copy")

// closedError is why a replica has no shard to look at.
type closedError struct {
	group uint32
	why   string
	away  bool
}

func (e *closedError) Error() string {
	switch {
	case e.away:
		return fmt.Sprintf("group %d: %s", e.group, e.why)
	case e.why != "":
		return fmt.Sprintf("group %d: %s: %v", e.group, e.why, ErrClosed)
	}
	return fmt.Sprintf("group %d: %v", e.group, ErrClosed)
}

// Is makes errors.Is hold for ErrClosed, what that is, and ErrAway.
func (e *closedError) Is(target error) bool {
	return target == ErrClosed || target == ErrNotApplied || e.away && target == ErrAway
}

// NoShard is why Shard was nil: an ErrClosed, and an ErrAway where that ends by
// itself, or has ended since.
func (g *Group) NoShard() error {
	_, why := g.condition()
	g.mu.RLock()
	defer g.mu.RUnlock()
	if g.instance != nil && !g.instance.held() && g.hold == nil {
		return &closedError{g.id, "has come back just now", true}
	}
	return &closedError{g.id, why, g.hold != nil || g.restarts || g.instance != nil}
}

// stopBriefly is stop where a start follows at once. The caller holds opening.
func (g *Group) stopBriefly(why string) error {
	g.mu.Lock()
	g.restarts = true
	g.mu.Unlock()
	return g.stop(ReplicaSyncing, why)
}
