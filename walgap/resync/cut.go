package resync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
)

// makeCut has the leader pin the group's state. A cut that would pause writes for too long is given up and tried again
// later; each try has an id of its own, since one that was given up may commit yet. Where none can commit without the
// target, the leader pins its snapshot record instead.
func (j *job) makeCut(ctx context.Context) (Outcome, error) {
	j.closeBuild()
	j.listed = nil
	aborts, failures := 0, 0
	for try := 0; ; try++ {
		made, err := j.tryCut(ctx)
		var own *leaderError
		switch {
		case err == nil:
			j.cut = *made
			j.step(Cut, "pinned")
			return Passed, nil
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case errors.Is(err, ErrAborted):
			aborts++
			j.state.CutsAborted++
			if aborts >= maxAborts {
				return 0, fmt.Errorf("%d cuts in a row: %w", aborts, err)
			}
		case errors.As(err, &own) || errors.Is(err, ErrWire):
			if failures++; failures >= maxLeaderErrs {
				return 0, fmt.Errorf("make a cut: %w", err)
			}
		case errors.Is(err, errUnreached), errors.Is(err, ErrNotLeader), errors.Is(err, ErrBusy), errors.Is(err, errPending):
		default:
			return 0, fmt.Errorf("make a cut: %w", err)
		}
		j.board.block(err.Error())
		if err := pause.For(ctx, backoff(try, 200*time.Millisecond, 5*time.Second)); err != nil {
			return 0, err
		}
	}
}

// tryCut asks once. Its id is written down before it is asked for, so that its view ends whatever happens.
func (j *job) tryCut(ctx context.Context) (*cutAnswer, error) {
	if j.remote.kept().record {
		return j.pinRecord(ctx)
	}
	if j.state.Cuts >= maxCuts {
		return nil, fmt.Errorf("%d cuts were made for this job", maxCuts)
	}
	old := j.state.leases()
	old = old[max(len(old)-recentCuts, 0):]
	if len(old) > 0 && old[0] == j.req.ID {
		old = old[1:]
	}
	id := j.state.nextCut()
	j.state.Asked = true // its entry takes the log lease, too
	if err := j.note(); err != nil {
		return nil, err
	}
	j.step(Cut, "named")
	began := time.Now()
	a, err := j.remote.call(ctx, request{Op: opCut, Drop: old, Cut: &CutAsk{ID: id, MaxPause: j.req.MaxPause, TTL: leaseTTL, Lease: j.req.ID}})
	if a != nil {
		j.state.Fence = max(j.state.Fence, a.Fenced)
		j.board.edit(func(r *Row) { r.Fence = j.state.Fence })
	}
	if err != nil {
		return nil, err
	}
	if a.Cut.ID != id {
		return nil, fmt.Errorf("%w: cut %s was asked for, %s was made", ErrWire, id, a.Cut.ID)
	}
	j.cutTook = time.Since(began)
	if a.View != nil {
		j.listed = a
	}
	j.remote.keep(lease{active: true, leased: true, cutID: id})
	return a.Cut, nil
}

// pinRecord has the leader pin its snapshot record: it is committed, and no quorum is needed.
func (j *job) pinRecord(ctx context.Context) (*cutAnswer, error) {
	j.step(Cut, "named")
	j.pinAsked = true // the answer may not be heard
	a, err := j.remote.call(ctx, request{Op: opRecord, Pin: j.state.Pin})
	if err != nil {
		return nil, err
	}
	j.state.Pin = a.Cut.ID
	return a.Cut, j.persist()
}
