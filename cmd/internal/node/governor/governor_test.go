package governor

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// read plays readers of whole replicas, that step each 100 us, and gives how long they took and how many read at once.
func read(t *testing.T, g *Governor, readers, steps int) (took time.Duration, most int64) {
	t.Helper()
	var at, top atomic.Int64
	began := time.Now()
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			turn, err := g.Begin(t.Context())
			defer turn.End()
			for range steps {
				if err != nil {
					t.Error(err)
					return
				}
				n := at.Add(1)
				for was := top.Load(); n > was && !top.CompareAndSwap(was, n); was = top.Load() {
				}
				time.Sleep(100 * time.Microsecond)
				at.Add(-1)
				err = turn.Step(t.Context())
			}
		})
	}
	wg.Wait()
	return time.Since(began), top.Load()
}

// clients ask each 10 ms until stop.
func clients(g *Governor) (stop func()) {
	g.Foreground()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			g.Foreground()
			select {
			case <-done:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	return func() { close(done); <-ended }
}

func TestNothingIsHeldBackWhileNobodyAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(nil)
		if took, most := read(t, g, 4, 1000); took != 100*time.Millisecond || most != 4 {
			t.Errorf("4 readers of 100 ms: %v, %d at once", took, most)
		}
		g.Charge(time.Hour)
		if took, _ := read(t, g, 1, 10); took != time.Millisecond {
			t.Errorf("a reader of 1 ms: %v", took)
		}
		if s := g.Stats(); s.Paced || s.Share != 1 || s.Waits != 0 || g.Why() != "" {
			t.Errorf("%+v", s)
		}
	})
}

func TestReadersGiveWayWhileClientsAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(nil)
		stop := clients(g)
		took, most := read(t, g, 4, 1000) // 400 ms of work; timers are punctual, so that the share grows from a fifth
		if took < 900*time.Millisecond || took > 2*time.Second || most != 1 {
			t.Errorf("4 readers of 100 ms: %v, %d at once", took, most)
		}
		s := g.Stats()
		if !s.Paced || s.Share <= first || s.Share > Ceiling || s.Waits < took-500*time.Millisecond || !strings.Contains(g.Why(), "clients") {
			t.Errorf("%+v: %s", s, g.Why())
		}
		stop()
		time.Sleep(lull + Longest)
		if took, most := read(t, g, 4, 1000); took != 100*time.Millisecond || most != 4 {
			t.Errorf("afterwards: %v, %d at once", took, most)
		}
		if s := g.Stats(); s.Paced || s.Share != 1 {
			t.Errorf("afterwards: %+v", s)
		}
	})
}

// Clients that come while readers are at work are noticed within a slice, and the readers' share begins small each time.
func TestClientsAreNoticedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var waiting atomic.Bool
		g := New(waiting.Load)
		for range 3 {
			var busy, most atomic.Int64
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					turn, err := g.Begin(ctx)
					defer turn.End()
					for err == nil {
						most.Store(max(most.Load(), busy.Add(1)))
						time.Sleep(100 * time.Microsecond)
						busy.Add(-1)
						err = turn.Step(ctx)
					}
				})
			}
			time.Sleep(20*time.Millisecond + 50*time.Microsecond)
			if busy.Load() != 4 {
				t.Errorf("%d readers read while nobody asks", busy.Load())
			}
			waiting.Store(true)
			time.Sleep(Slice)
			most.Store(0)
			time.Sleep(50 * Slice)
			if most.Load() != 1 {
				t.Errorf("%d readers read at once a slice after a client came", most.Load())
			}
			if s := g.Stats(); s.Share > first+0.1 {
				t.Errorf("the share begins with %v", s.Share)
			}
			cancel()
			wg.Wait()
			waiting.Store(false)
			time.Sleep(time.Second)
		}
	})
}

// On a machine where every wait ends late, readers get no less than a tenth.
func TestReadersAreNotStoppedByABusyMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(nil)
		began := time.Now()
		g.now = func() time.Duration { return 4 * time.Since(began) } // each wait takes four times as long
		defer clients(g)()
		if took, _ := read(t, g, 2, 2000); took < 2*time.Second || took > 8*time.Second {
			t.Errorf("400 ms of work took %v", took)
		}
		if s := g.Stats(); s.Share != Floor {
			t.Errorf("the share is %v", s.Share)
		}
	})
}

func TestWorkThatCannotBeCutIsCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(nil)
		g.Foreground()
		g.Charge(10 * time.Millisecond)
		began := time.Now()
		turn, err := g.Begin(t.Context())
		if took := time.Since(began); err != nil || took != 40*time.Millisecond { // a fifth
			t.Errorf("%v, after %v", err, took)
		}
		turn.End()
	})
}

// A turn that is given up, while it waits or before, leaves the way free.
func TestTurnThatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(func() bool { return true })
		first, err := g.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		second, err := g.Begin(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(second.Step(ctx), context.DeadlineExceeded) {
			t.Errorf("one that waits for another: %v", err)
		}
		time.Sleep(time.Second)
		first.End()
		first.End()
		ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := g.Begin(ctx); !errors.Is(err, context.DeadlineExceeded) { // it is due in Longest
			t.Errorf("one that waits for its time: %v", err)
		}
		second.End()
		third, err := g.Begin(t.Context())
		if err != nil {
			t.Error(err)
		}
		third.End()
		if len(g.turn) != 0 {
			t.Error("a turn was kept")
		}
	})
}
