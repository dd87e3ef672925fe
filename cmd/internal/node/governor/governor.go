package governor

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// lull is how long after the last request the node counts as idle: longer than most pauses of a client that goes on.
const lull = 100 * time.Millisecond

// Governor of one node. Make it with New.
type Governor struct {
	now     func() time.Duration // since it was made
	waiting func() bool          // clients wait for an answer now
	asked   atomic.Int64         // when a client asked last, by now in ns; 0: never
	turn    chan struct{}        // capacity 1: of the Turn that goes on while clients ask

	mu     sync.Mutex
	share  share         // guarded by mu
	paced  time.Duration // guarded by mu: when it was used last
	waits  time.Duration // guarded by mu: all waits
	slices uint64        // guarded by mu
}

// New makes a Governor. waiting reports whether clients of the node wait for an answer now; nil: only Foreground tells.
func New(waiting func() bool) *Governor {
	if waiting == nil {
		waiting = func() bool { return false }
	}
	began := time.Now()
	return &Governor{now: func() time.Duration { return time.Since(began) }, waiting: waiting, turn: make(chan struct{}, 1)}
}

// Foreground notes that a client asks for something, here or through another node. It may be called very often.
func (g *Governor) Foreground() {
	now, asked := int64(g.now()), g.asked.Load()
	if asked == 0 || now-asked > int64(lull/16) { // a store each time would be felt by all cores
		g.asked.Store(max(now, 1))
	}
}

// busy reports whether clients ask.
func (g *Governor) busy() bool {
	if g.waiting() {
		g.Foreground()
		return true
	}
	asked := g.asked.Load()
	return asked > 0 && g.now()-time.Duration(asked) < lull
}

// Stats is what a Governor does.
type Stats struct {
	Paced  bool          // background work gives way now
	Share  float64       // of one core that it may take; 1: all that it wants
	Waits  time.Duration // since the start
	Slices uint64        // that were followed by a wait
}

// Stats says what it does now.
func (g *Governor) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Stats{Share: 1, Waits: g.waits, Slices: g.slices}
	if g.paced > 0 && g.now()-g.paced < lull+Longest {
		s.Paced, s.Share = true, g.share.of
	}
	return s
}

// Share is that of Stats.
func (g *Governor) Share() float64 { return g.Stats().Share }

// Why says, for people, that background work gives way; "" while it does not.
func (g *Governor) Why() string {
	if s := g.Stats(); s.Paced {
		return fmt.Sprintf("clients of the node, which go first: it gets %.0f%% of a core", 100*s.Share)
	}
	return ""
}

// Begin waits until background work may begin. With an error there is no Turn, but it may be used: each Step gives the error.
func (g *Governor) Begin(ctx context.Context) (*Turn, error) {
	t := &Turn{g: g}
	return t, t.enter(ctx)
}

// Later is a Turn that has not begun: its first Step waits.
func (g *Governor) Later() *Turn { return &Turn{g: g} }

// Turn is one piece of work after the other, of one goroutine.
type Turn struct {
	g     *Governor
	since time.Duration
	has   bool // the governor's turn
}

// Step is called between two small pieces. It hands the turn on when the slice is used up, and waits for the next one. Whoever
// steps must hold no lock that a client's request, or another Turn, may want.
func (t *Turn) Step(ctx context.Context) error {
	if t.has && t.g.now()-t.since < Slice {
		return ctx.Err()
	}
	if t.has {
		t.End()
		runtime.Gosched() // whoever waits for this core goes first
	}
	return t.enter(ctx)
}

// End gives the turn back. It may be called again, and Step after it.
func (t *Turn) End() {
	if !t.has {
		return
	}
	t.has = false
	t.g.worked(t.g.now() - t.since)
	<-t.g.turn
}

func (t *Turn) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil || !t.g.busy() {
		return err
	}
	select {
	case t.g.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := t.g.wait(ctx); err != nil {
		<-t.g.turn
		return err
	}
	t.has, t.since = true, t.g.now()
	return nil
}

// Charge makes what comes next wait as if so much work had been done in a Turn: for work that cannot be cut into pieces.
func (g *Governor) Charge(d time.Duration) {
	if g.busy() {
		g.worked(d)
	}
}

// worked charges a slice.
func (g *Governor) worked(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.refreshLocked()
	g.share, _ = g.share.worked(d)
}

// refreshLocked begins anew after a lull.
func (g *Governor) refreshLocked() {
	now := g.now()
	if g.paced == 0 || now-g.paced > lull+Longest {
		g.share = begin(now)
	}
	g.paced = max(now, 1)
}

// wait waits for as long as the slices before call for. Whoever calls it has the turn.
func (g *Governor) wait(ctx context.Context) error {
	g.mu.Lock()
	g.refreshLocked()
	s, wait := g.share.worked(0)
	g.share = s
	g.mu.Unlock()
	if wait == 0 {
		return nil
	}
	from := g.now()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	g.share = g.share.waited(now, wait, max(now-from-wait, 0))
	g.paced = now
	g.waits += now - from
	g.slices++
	return nil
}
