package resyncbench

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/walgap"
)

// playDelta changes one leaf in a hundred below Raft while the target is away, so that the others' logs begin behind it:
// once a leaf of every group, once as many leaves in as few groups as hold them.
func playDelta(ctx context.Context, r *rig, l *ledger) error {
	if err := r.delta(ctx, l, "delta", allGroups(), 1); err != nil {
		return err
	}
	few := allGroups()[:int(math.Ceil(totalGroups/float64(leaves)))]
	return r.delta(ctx, l, "delta in few groups", few, leaves)
}

// delta changes so many leaves of each of these groups.
func (r *rig) delta(ctx context.Context, l *ledger, name string, groups []uint32, changed int) error {
	// The target first: what it has must be old, and the others must lead.
	if err := r.stop(ctx, r.target()); err != nil {
		return err
	}
	if err := r.stop(ctx, r.others()...); err != nil {
		return err
	}
	r.changes++
	if err := below(ctx, r.dirs()[:nodes-1], groups, r.touchLeaves(changed), func() {}); err != nil {
		return err
	}
	if err := r.start(ctx, r.others()...); err != nil {
		return err
	}
	if err := r.led(ctx); err != nil {
		return err
	}
	since := time.Now()
	if err := r.target().Start(); err != nil {
		return err
	}
	all, err := r.ended(ctx, since)
	if err != nil {
		return err
	}
	delta := all.of(walgap.Delta.String())
	if len(delta) != len(groups) {
		return fmt.Errorf("%d groups with %d changed leaves each got %v", len(groups), changed, all.verdicts())
	}
	l.add("delta", name+", bytes moved", "%", 100*float64(delta.bytes())/float64(r.bytes))
	l.add("delta", name+", seconds", "s", delta.span().Seconds())
	if full, ok := l.median("full copy, seconds"); ok {
		l.add("delta", name+", times faster than full", "x", full/delta.span().Seconds())
	}
	return r.equal(ctx)
}

// touchLeaves writes one more point into each of the first leaves of a group, newest windows first.
func (r *rig) touchLeaves(changed int) change {
	return func(group uint32) [][]byte {
		var points []storage.Point
		for i := range changed {
			window := windows - 1 - i/storage.Slots
			at := start.Add(time.Duration(window+1) * storage.DefaultWindow).UnixNano()
			points = append(points, storage.Point{Series: r.series[group][i%storage.Slots], Time: at - 1,
				Fields: []storage.Field{{Name: fieldNames[0], Value: blocks.Float(float64(r.changes))}}})
		}
		return [][]byte{storage.AppendPut(nil, points)}
	}
}
