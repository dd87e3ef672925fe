package resync

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap"
)

// explore compares the cut's manifest with what the target holds, decides how the copy is built, and knows its price
// before anything is moved. A dry run compares with a view that the leader pins in memory, so that it leaves no trace
// in the log, and ends there.
func (j *job) explore(ctx context.Context) (Outcome, error) {
	if j.req.DryRun {
		made, err := j.pinRecord(ctx)
		if errors.Is(err, ErrBusy) { // with another job of the group: the price stays an estimate
			return Priced, nil
		}
		if err != nil {
			return 0, err
		}
		j.cut = *made
	}
	if err := j.listFor(ctx); err != nil {
		if j.req.DryRun && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
			return Priced, nil
		}
		return 0, err
	}
	j.step(Explore, "listed")
	base, err := j.contents(ctx)
	if err != nil {
		return 0, err
	}
	c := Compare(j.manifest, base, suspects(slices.Concat(j.state.Suspects, j.req.Bad)))
	j.compared = c
	full := j.verdict.Kind == walgap.Full
	j.state.InPlace = inPlace(full, c, len(j.state.Suspects))
	v := j.verdict.Reprice(j.leader, uint64(c.MovedBytes), j.rates())
	j.state.PlannedBytes, j.state.PlannedS = c.MovedBytes, v.Seconds
	j.board.edit(func(r *Row) {
		r.LeavesTotal, r.LeavesEqual = int64(len(j.manifest)), int64(len(c.Equal))
		r.LeavesMissing, r.LeavesDiffering, r.LeavesOrphan = int64(len(c.Missing)), int64(len(c.Differing)), int64(len(c.Orphans))
		r.PlannedBytes, r.PlannedS, r.BytesTotal, r.BytesDone = c.MovedBytes, v.Seconds, c.WantBytes, 0
		eta := v.Seconds
		r.EtaS = &eta
	})
	j.step(Explore, "compared")
	if j.req.DryRun {
		return Priced, nil
	}
	j.board.moved()
	return Passed, nil
}

// listFor is list, which nobody waits for long in a dry run.
func (j *job) listFor(ctx context.Context) error {
	if !j.req.DryRun {
		return j.list(ctx)
	}
	limited, cancel := context.WithTimeout(ctx, dryRunList)
	defer cancel()
	return j.list(limited)
}

// list gets the manifest and the state of the cut.
func (j *job) list(ctx context.Context) error {
	a := j.listed // what came with the cut
	if j.listed = nil; a == nil {
		var err error
		if a, err = j.remote.ask(ctx, request{Op: opView, CutID: j.cut.ID}, j.board.block); err != nil {
			return fmt.Errorf("list cut %s: %w", j.cut.ID, err)
		}
	}
	j.view = *a.View
	j.board.moved()
	var err error
	if j.manifest, err = j.remote.manifest(ctx, j.cut.ID, a.View, a.Page, j.board.block); err != nil {
		return fmt.Errorf("list cut %s: %w", j.cut.ID, err)
	}
	j.board.moved()
	return nil
}

// contents is what the target holds. A full copy compares with nothing.
func (j *job) contents(ctx context.Context) ([]digest.Entry, error) {
	if j.verdict.Kind == walgap.Full {
		return nil, nil
	}
	contents := j.replica.Contents
	if j.held != nil {
		contents = j.held.Contents
	}
	list, err := contents(ctx)
	if err != nil {
		return nil, fmt.Errorf("list what the replica holds: %w", err)
	}
	return list, nil
}

func suspects(list []digest.Leaf) map[digest.Leaf]bool {
	m := make(map[digest.Leaf]bool, len(list))
	for _, l := range list {
		m[l] = true
	}
	return m
}
