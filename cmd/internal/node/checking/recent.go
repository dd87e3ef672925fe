package checking

import (
	"context"
	"slices"
	"time"
)

// recentFresh is how old a reading may be, at least, that a deep check goes by. One
// that took longer is good for as long as it took: so what all groups have in common
// is read half of the time at most, and not once for each group of a check of all.
// What goes bad within it after a check is found by the next.
const recentFresh = time.Second

// recentScrub is the last reading of what all groups of a node have in common.
type recentScrub struct {
	turn chan struct{} // holds a token while it is read; the rest is of whose turn it is

	began, ended time.Time
	bad          []badRecord
}

func newRecentScrub() recentScrub { return recentScrub{turn: make(chan struct{}, 1)} }

// last gives what the last reading found, or reads if that was not just now. A
// reading that fails is forgotten.
func (r *recentScrub) last(ctx context.Context, read func(context.Context) ([]badRecord, error)) ([]badRecord, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if !r.began.IsZero() && time.Since(r.began) < max(recentFresh, 2*r.ended.Sub(r.began)) {
		return slices.Clone(r.bad), nil
	}
	began := time.Now()
	bad, err := read(ctx)
	if err != nil {
		return nil, err
	}
	r.began, r.ended, r.bad = began, time.Now(), bad
	return slices.Clone(bad), nil
}
