package resync

import (
	"context"
	"errors"
	"time"

	"github.com/flotilla-db/flotilla/storage"
)

// lease is what a job keeps alive on its leader while it runs.
type lease struct {
	active bool
	leased bool   // the log lease was taken
	none   bool   // nothing was taken yet: it only asks whether the session still is one
	record bool   // a record is pinned instead of leases
	from   uint64 // first entry to keep, when it is to be taken
	cutID  string // whose view is renewed too
}

// keep sets what is renewed.
func (r *remote) keep(l lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lease = l
}

// kept is what is renewed.
func (r *remote) kept() lease {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lease
}

// renew renews once; the index is that of the lease's command.
func (r *remote) renew(ctx context.Context) (uint64, error) {
	l := r.kept()
	a, err := r.call(ctx, request{Op: opRenew, Renew: &renewAsk{From: l.from, Leased: l.leased, Record: l.record || l.none, CutID: l.cutID}})
	if err != nil {
		return 0, err
	}
	return a.Index, nil
}

// renewals keeps the job's leases alive until the context ends, and ends the stage that relied on one that is gone.
func (j *job) renewals(ctx context.Context) {
	ticker := time.NewTicker(renewEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		if !j.remote.kept().active {
			continue
		}
		with := j.remote.agreed()
		_, err := j.remote.renew(ctx)
		switch {
		case err == nil || ctx.Err() != nil || j.remote.agreed() != with:
		case errors.Is(err, ErrMoved):
			j.board.interrupt(err, Hold, Cut, Explore, Fetch, Install, Replay, Promote)
		case errors.Is(err, storage.ErrNotPinned):
			j.board.interrupt(err, Explore, Fetch, Install)
		default:
			j.log.Debug("resync: lease not renewed", "error", err)
		}
	}
}
