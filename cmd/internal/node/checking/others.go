package checking

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

const (
	// othersPoll is the pause between two looks at the check of another node.
	othersPoll = 20 * time.Millisecond
	// othersGrace is how long after the end of its cut it may take that check to begin its repair.
	othersGrace = time.Second
	// othersBound bounds the wait for it: reading a large shard takes longer.
	othersBound = time.Minute
)

// replica is what is asked of a replica that is suspect; *raftgroup.Group is one.
type replica interface {
	Suspicion() (raftgroup.Suspicion, bool)
	Leases() ([]storage.Record, error)
}

// othersMended waits for a check that has a cut in the replica, or repairs it, as a check does that has just met what the replica is
// suspected of: two that judge and repair the same would be in each other's way, and what the first one found would be reported
// by nobody. It reports whether nothing is held against the replica any more. Where there is no other check it does
// not wait.
func othersMended(ctx context.Context, g replica) bool {
	if !underCheck(g) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, othersBound)
	defer cancel()
	for seen := time.Now(); time.Since(seen) < othersGrace; {
		if _, some := g.Suspicion(); !some {
			return true
		}
		if underCheck(g) {
			seen = time.Now()
		}
		if pause.For(ctx, othersPoll) != nil {
			return false
		}
	}
	return false
}

// underCheck reports whether a check has a cut in the replica, or something is being installed there.
func underCheck(g replica) bool {
	leases, err := g.Leases()
	return errors.Is(err, raftgroup.ErrAway) || slices.ContainsFunc(leases, func(l storage.Record) bool { return l.View && l.Purpose == antientropy.CutPurpose })
}
