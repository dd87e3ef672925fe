package syncing

import (
	"context"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap"
)

const (
	// syncPoll is the pause between two looks at this node's replicas.
	syncPoll = time.Second
	// looksAtOnce bounds the leaders that are asked at the same time.
	looksAtOnce = 16
)

// watch begins the jobs of replicas that need one.
type watch struct {
	config   *Config
	table    *table
	asker    *asker
	nudges   *nudges
	slots    *slots
	throttle throttle
}

// run looks which replicas need a job, until ctx ends.
func (w *watch) run(ctx context.Context) {
	starting := w.held()
	tick := time.NewTicker(syncPoll)
	defer tick.Stop()
	for {
		s := w.config.Settings()
		w.throttle.set(s.Rate)
		w.slots.settle()
		w.table.markStalled()
		if !s.Enabled || !s.StartupSync {
			clear(starting)
		}
		w.lookAtAll(ctx, starting, s.Enabled)
		w.nudges.tellPeers(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.nudges.book.wake:
		}
	}
}

// held is what the replicas of this node held when it opened them; those that
// held nothing were not there before.
func (w *watch) held() map[uint32]raftgroup.Report {
	held := make(map[uint32]raftgroup.Report)
	for _, g := range w.config.Groups() {
		if r, ok := g.ReportAtOpen(); ok && (r.HasData || r.Last > 0 || r.Damage != "") {
			held[g.ID()] = r
		}
	}
	return held
}

// lookAtAll asks the leaders of all groups that may need a job.
func (w *watch) lookAtAll(ctx context.Context, starting map[uint32]raftgroup.Report, enabled bool) {
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, looksAtOnce)
	var mu sync.Mutex // guards settled
	var settled []uint32
	defer func() {
		wg.Wait()
		for _, group := range settled {
			delete(starting, group)
		}
	}()
	begin := func(look func()) bool {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return false
		}
		wg.Go(func() {
			defer func() { <-slots }()
			look()
		})
		return true
	}
	for group, report := range starting {
		if !begin(func() {
			if w.lookAtStart(ctx, group, report) {
				mu.Lock()
				settled = append(settled, group)
				mu.Unlock()
			}
		}) {
			return
		}
	}
	if !enabled {
		return
	}
	nudged := w.nudges.book.take()
	for _, a := range w.config.Directory.Table().HeldBy(w.config.Self.Name) {
		if _, waits := starting[a.Group]; waits || !w.table.mayStart(a.Group) {
			continue
		}
		why, needs := w.needsLook(a.Group)
		if nudged[a.Group] {
			why, needs = triggerBehind, true
		}
		if needs && !begin(func() { w.lookAt(ctx, a.Group, why) }) {
			return
		}
	}
}

// needsLook reports whether a replica cannot get on by itself: it is not in its
// group's configuration, or it was refused when it was opened.
func (w *watch) needsLook(group uint32) (trigger, bool) {
	g, err := w.config.Group(group)
	switch {
	case err != nil:
		return "", false
	case g.Running():
		return triggerNew, !g.Member()
	}
	return triggerBehind, g.Status().State == raftgroup.ReplicaQuarantined
}

// lookAt opens a job where leaves have to be copied. What the log can do, it
// does without one.
func (w *watch) lookAt(ctx context.Context, group uint32, why trigger) {
	a, err := w.asker.look(ctx, group, walgap.Auto, 0)
	switch {
	case err != nil:
		w.table.pause(group, false, err.Error())
	case !a.Verdict.Decided:
		w.table.pause(group, false, a.Verdict.Reason)
	case a.Verdict.Kind.Copies():
		w.table.begin(&job{Group: group, Kind: api.JobResync, Trigger: why})
	default:
		w.table.pause(group, true, "")
	}
}

// lookAtStart opens a job for what a replica lacked when its node started; done
// when there is a verdict.
func (w *watch) lookAtStart(ctx context.Context, group uint32, report raftgroup.Report) (done bool) {
	// What was moved away meanwhile is removed, not brought up to date.
	if w.table.of(group) != nil || !w.config.Directory.Table().Assignments[group].Holds(w.config.Self.Name) {
		return true
	}
	s := standingOf(w.config.ClusterID(), report)
	q := verdictAsk{Server: s.Server, Target: s.Target, Rates: w.asker.meter.Rates().Copying(w.config.Settings().Rate), Mode: walgap.Auto}
	if g, err := w.config.Group(group); err == nil && !g.OpenedAt().IsZero() {
		q.Ago = time.Since(g.OpenedAt())
	}
	a, err := w.asker.askVerdict(ctx, q)
	v := a.Verdict
	switch {
	case err != nil, !v.Decided && v.Wait:
		return false
	case !v.Decided:
		w.table.pause(group, false, v.Reason)
		return true
	case v.Kind == walgap.None, v.Kind == walgap.Replay && a.Election:
		return true
	}
	j := &job{Group: group, Kind: api.JobResync, Trigger: triggerStart, Missed: &v}
	w.table.begin(j)
	return true
}
