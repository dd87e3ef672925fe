package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// tick is how often the run looks again when nothing happens: speeds change by time alone. Progress is told as often.
const tick = 200 * time.Millisecond

// run carries one plan out. It asks the Scheduler, starts a lane for each batch, and waits for what comes of them.
type run struct {
	plan     Plan
	sink     Sink
	progress func(Progress)
	names    []string
	wake     chan struct{} // something changed; capacity 1
	lanes    sync.WaitGroup
	sinking  chan struct{} // one leaf is stored at a time; capacity 1

	mu      sync.Mutex // guards what follows
	sched   *Scheduler
	under   map[int]context.CancelFunc // of the batches under way
	links   []linkSpeed                // of the sources
	wire    []uint64                   // bytes received from each source
	stored  speed
	partial int64 // bytes received of leaves that are not stored
	failed  error // of the sink
}

func newRun(plan Plan, sink Sink, progress func(Progress)) *run {
	if plan.Limits == nil {
		plan.Limits = NewLimits(0)
	}
	if plan.Silence <= 0 {
		plan.Silence = DefaultSilence
	}
	if plan.MessageBytes <= 0 {
		plan.MessageBytes = DefaultMessageBytes
	}
	if plan.Logger == nil {
		plan.Logger = slog.New(slog.DiscardHandler)
	}
	if progress == nil {
		progress = func(Progress) {}
	}
	r := &run{
		plan: plan, sink: sink, progress: progress, wake: make(chan struct{}, 1), sinking: make(chan struct{}, 1),
		sched: NewScheduler(plan.Want, plan.Sources, plan.LeaderShare), under: map[int]context.CancelFunc{},
		links: make([]linkSpeed, len(plan.Sources)), wire: make([]uint64, len(plan.Sources)),
	}
	for _, s := range plan.Sources {
		r.names = append(r.names, s.Name())
	}
	return r
}

// run returns when the lanes have ended.
func (r *run) run(ctx context.Context) (Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	ticker := time.NewTicker(tick)
	r.stored.begin(time.Now())
	err := r.loop(ctx, ticker.C)
	ticker.Stop()
	cancel()
	r.lanes.Wait()
	r.mu.Lock()
	p := r.report(time.Now())
	r.mu.Unlock()
	r.progress(p)
	result := Result{Bytes: p.Bytes, Leaves: p.Leaves, Sources: p.Sources}
	for _, s := range p.Sources {
		result.WireBytes += s.WireBytes
	}
	return result, err
}

func (r *run) loop(ctx context.Context, ticks <-chan time.Time) error {
	for {
		if done, err := r.step(ctx); done {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("fetch leaves of group %d: %w", r.plan.Group, context.Cause(ctx))
		case <-r.wake:
		case <-ticks:
			r.mu.Lock()
			p := r.report(time.Now())
			r.mu.Unlock()
			r.progress(p)
		}
	}
}

// step starts and ends what the Scheduler says, and reports whether the run is over.
func (r *run) step(ctx context.Context) (done bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.failed != nil:
		return true, r.failed
	case r.sched.Done():
		return true, nil
	}
	for _, id := range r.sched.Useless() {
		r.under[id]()
	}
	if err := r.sched.Gone(r.names); err != nil {
		return true, fmt.Errorf("fetch leaves of group %d: %w", r.plan.Group, err)
	}
	for _, b := range r.sched.Assign(time.Now()) {
		laneCtx, cancel := context.WithCancel(ctx)
		r.under[b.ID] = cancel
		compress := Compresses(r.links[b.Source].rate(), r.plan.Rate.Rate(), r.plan.Limits.In.Rate())
		l := &lane{run: r, batch: b, source: r.plan.Sources[b.Source].Source, compress: compress}
		r.lanes.Go(func() {
			defer cancel()
			r.ended(b, l.fetch(laneCtx))
		})
	}
	return false, nil
}

// ended takes the outcome of a batch.
func (r *run) ended(b Batch, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.under, b.ID)
	var failed sinkError
	switch {
	case errors.As(err, &failed):
		if r.failed == nil {
			r.failed = failed.err
		}
		err = nil
	case errors.Is(err, errUseless):
		err = nil
	case err != nil:
		r.plan.Logger.Warn("source failed", "source", r.names[b.Source], "group", r.plan.Group, "error", err)
	}
	r.sched.Ended(time.Now(), b.ID, err)
	r.changed()
}

// changed wakes the loop. The caller holds the lock, or does not care.
func (r *run) changed() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// report is the progress. The caller holds the lock.
func (r *run) report(now time.Time) Progress {
	p := Progress{TotalBytes: r.sched.total, TotalLeaves: len(r.sched.leaves), Leaves: r.sched.stored, Partial: uint64(max(r.partial, 0))}
	for i := range r.sched.sources {
		s := &r.sched.sources[i]
		rate, _ := s.speed.rate(now)
		p.Bytes += s.stored
		p.Sources = append(p.Sources, SourceReport{
			Name: r.names[i], Leader: s.leader, Bytes: s.stored, Leaves: s.leaves, WireBytes: r.wire[i], Rate: rate, Err: s.dropped,
		})
	}
	p.Rate, _ = r.stored.rate(now)
	return p
}
