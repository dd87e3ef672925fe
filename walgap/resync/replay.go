package resync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/walgap"
)

// Between two looks at a replica that applies.
const (
	watchSoon  = 10 * time.Millisecond
	watchEvery = 200 * time.Millisecond
)

// watchReplay waits until the target has applied what the leader had: when it compared the proof, or else the entry of the
// job's own lease, which is a command and so one that every replica applies. Raft does the work.
func (j *job) watchReplay(ctx context.Context) (Outcome, error) {
	j.step(Replay, "watching")
	if s := j.state.Switching; j.state.Installed && s != nil && !j.fresh {
		// After a change of leader or process; it may be without the view, and Raft without the need.
		if _, err := j.remote.call(ctx, request{Op: opHold, CutID: s.CutID}); err != nil && ctx.Err() == nil {
			j.log.Debug("resync: the cut's record is not held", "error", err)
		}
	}
	if err := j.setGoal(ctx); err != nil {
		return 0, err
	}
	first, done, told, began := uint64(0), false, false, time.Now()
	for try := 0; ; try++ {
		p, err := j.replica.Progress(ctx)
		if err != nil {
			return 0, fmt.Errorf("look at the replica: %w", err)
		}
		if first == 0 {
			first = p.Applied
			j.board.edit(func(r *Row) { r.EntriesPlanned = max(r.EntriesPlanned, int64(j.goal)-int64(min(first, j.goal))) })
		}
		done = p.Running && p.Applied >= j.goal
		entries := p.Applied - min(first, p.Applied)
		j.board.replayed(int64(entries), int64(j.goal-min(p.Applied, j.goal)))
		if done {
			j.state.Replayed = int64(entries)
			took := time.Since(began)
			j.config.Rates.Observe(func(r walgap.Rates) walgap.Rates { return r.WithReplay(entries, took) })
			j.step(Replay, "caught up")
			return Passed, nil
		}
		if why := waitsFor(p); why != "" {
			j.board.block(why)
		}
		if told, err = j.awaitGoal(ctx, backoff(try, watchSoon, watchEvery), told); err != nil {
			return 0, err
		}
	}
}

// awaitGoal pauses, and no longer than until the goal is applied, where the replica tells that; it is asked until it has told.
func (j *job) awaitGoal(ctx context.Context, d time.Duration, told bool) (bool, error) {
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if a, tells := j.replica.(Applying); tells && !told && a.AwaitApplied(limited, j.goal) == nil {
		return true, nil
	}
	<-limited.Done()
	return told, context.Cause(ctx)
}

func waitsFor(p Progress) string {
	switch {
	case p.Why != "":
		return p.Why
	case !p.Running:
		return "the replica does not run"
	case !p.Member:
		return "the leader has not added the replica to the configuration"
	}
	return ""
}

// setGoal renews the lease where its entry is not known: after an install, and where none could be taken at plan.
func (j *job) setGoal(ctx context.Context) error {
	if j.goal > 0 {
		if j.fresh { // the view of the cut is needed no more
			j.remote.keep(lease{active: true, leased: true})
		}
		return nil
	}
	if err := j.mayLease(); err != nil {
		return err
	}
	l := j.remote.kept()
	l.active, l.record, l.none, l.cutID = true, false, false, ""
	j.remote.keep(l)
	for try := 0; ; try++ {
		index, err := j.remote.renew(ctx)
		if err == nil && index > 0 {
			j.goal = index
			l.leased = true
			j.remote.keep(l)
			return nil
		}
		if err == nil {
			err = fmt.Errorf("%w: a lease without an index", ErrWire)
		}
		if ctx.Err() != nil || errors.Is(err, ErrMoved) || errors.Is(err, ErrRefused) {
			return err
		}
		j.board.block(err.Error())
		if err := pause.For(ctx, backoff(try, 100*time.Millisecond, 2*time.Second)); err != nil {
			return err
		}
	}
}
