package checking

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// A check that came at a bad moment is made again soon, and one of a group that this node leads no more counts for nothing.
func TestEndOfAScheduledCheck(t *testing.T) {
	s := newSchedule(nil)
	s.turns[7] = &antientropy.Turn{Group: 7}
	s.ended(scheduled{group: 7, passing: true})
	if turn := s.turns[7]; !turn.Soon || turn.Failures != 1 || turn.Tried.IsZero() {
		t.Errorf("a bad moment: %+v", turn)
	}
	s.ended(scheduled{group: 7})
	if turn := s.turns[7]; turn.Soon || turn.Failures != 2 {
		t.Errorf("a failure: %+v", turn)
	}
	s.ended(scheduled{group: 7, equal: true})
	if turn := s.turns[7]; turn.Failures != 0 {
		t.Errorf("a proof: %+v", turn)
	}
	s.ended(scheduled{group: 8, equal: true})
	if len(s.turns) != 1 || len(s.busy) != 0 {
		t.Errorf("%v %v", s.turns, s.busy)
	}
}

// checksOf makes checks.
type checksOf struct {
	Checks
	check func(group uint32, o antientropy.Options) (antientropy.Report, error)
}

func (c checksOf) CheckGroup(_ context.Context, group uint32, o antientropy.Options) (antientropy.Report, error) {
	return c.check(group, o)
}

func (checksOf) Proofs() map[uint32]api.Time { return nil }

// seated counts the checks that work, which are not to be more than there are seats.
type seated struct {
	t          *testing.T
	most       int32
	now, begun atomic.Int32
}

func (w *seated) work(until <-chan struct{}) {
	if n := w.now.Add(1); n > w.most {
		w.t.Errorf("%d checks at once", n)
	}
	w.begun.Add(1)
	<-until
	w.now.Add(-1)
}

// Repairs that hang take no seat from checks: as many begin as there are seats. Those whose repairs end at last, all of them
// at once, wait for a seat like any other before they go on.
func TestRepairsTakeNoSeatFromScheduledChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repaired, end := make(chan struct{}), make(chan struct{})
		w := &seated{t: t, most: checksAtOnce}
		s := newSchedule(&Config{Checks: checksOf{check: func(group uint32, o antientropy.Options) (antientropy.Report, error) {
			if group < 2*checksAtOnce {
				o.Seat.Leave()
				<-repaired
				if err := o.Seat.Return(t.Context()); err != nil {
					return antientropy.Report{}, err
				}
			}
			w.work(end)
			return antientropy.Report{Equal: true}, nil
		}}})
		var due []uint32
		for group := range uint32(4 * checksAtOnce) {
			s.turns[group] = &antientropy.Turn{Group: group}
			due = append(due, group)
		}
		var wg sync.WaitGroup
		for range 4 {
			s.begin(t.Context(), &wg, slices.DeleteFunc(slices.Clone(due), func(group uint32) bool { return s.busy[group] }))
			synctest.Wait()
		}
		if len(s.busy) != 3*checksAtOnce || len(s.free()) != checksAtOnce || w.begun.Load() != checksAtOnce || len(s.wake) != 1 {
			t.Errorf("%d under way, %d free, %d check, %d were told", len(s.busy), len(s.free()), w.begun.Load(), len(s.wake))
		}
		close(repaired)
		synctest.Wait()
		if n := w.begun.Load(); n != checksAtOnce {
			t.Errorf("%d have begun", n)
		}
		close(end)
		for range 3 * checksAtOnce {
			s.ended(<-s.done)
		}
		if wg.Wait(); len(s.busy) > 0 || s.turns[0].Tried.IsZero() || s.seats.Full() || w.begun.Load() != 3*checksAtOnce {
			t.Errorf("%d are left, %d were made", len(s.busy), w.begun.Load())
		}
	})
}

// So it is with those of suspect replicas.
func TestRepairsTakeNoSeatFromChecksOfSuspects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		repaired, end := make(chan struct{}), make(chan struct{})
		w := &seated{t: t, most: repairsAtOnce}
		s := newSuspects(nil)
		s.make = func(ctx context.Context, group uint32, seat *antientropy.Seat) {
			if group < 5 {
				seat.Leave()
				<-repaired
				if seat.Return(ctx) != nil {
					return
				}
			}
			w.work(end)
		}
		for group := range uint32(20) {
			s.queue <- group
		}
		over := make(chan struct{})
		go func() { defer close(over); s.Run(ctx) }()
		synctest.Wait()
		if n := w.begun.Load(); n != repairsAtOnce || len(s.queue) != 20-5-repairsAtOnce {
			t.Errorf("%d have begun, %d wait", n, len(s.queue))
		}
		close(repaired)
		synctest.Wait()
		if n := w.begun.Load(); n != repairsAtOnce {
			t.Errorf("%d have begun", n)
		}
		close(end)
		synctest.Wait()
		if n := w.begun.Load(); n != 20 {
			t.Errorf("%d were made", n)
		}
		cancel()
		<-over
	})
}

// Who asks for a check has it at once, and is told of the end of one that began after that: not of one that was under way.
func TestACheckThatIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, end := 0, make(chan struct{})
		enabled := true
		s := newSchedule(&Config{
			Settings: func() config.AntiEntropy { return config.AntiEntropy{Enabled: enabled, Interval: time.Hour} },
			Groups:   func() []*raftgroup.Group { return []*raftgroup.Group{new(raftgroup.Group)} },
			Checks: checksOf{check: func(uint32, antientropy.Options) (antientropy.Report, error) {
				begun++
				<-end
				return antientropy.Report{Equal: true}, nil
			}},
		})
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() { defer close(over); s.Run(ctx) }()
		ask := func(group uint32) <-chan struct{} {
			answered := make(chan struct{})
			go func() { defer close(answered); s.Ask(ctx, group) }()
			synctest.Wait()
			return answered
		}
		told := func(answered <-chan struct{}) bool {
			synctest.Wait()
			select {
			case <-answered:
				return true
			default:
				return false
			}
		}
		if synctest.Wait(); begun != 0 {
			t.Errorf("%d checks, and nobody asked", begun)
		}
		first := ask(0)
		if begun != 1 || told(first) {
			t.Errorf("%d checks begun; told before the end: %t", begun, told(first))
		}
		time.Sleep(time.Second)
		end <- struct{}{}
		if !told(first) {
			t.Error("not told of the end")
		}
		if none := ask(7); !told(none) {
			t.Error("of a group that is not here: it waits")
		}
		// One is under way when it is asked for.
		s.mu.Lock()
		s.asked[0] = &asked{time.Now(), make(chan struct{})}
		s.mu.Unlock()
		s.awake()
		if synctest.Wait(); begun != 2 {
			t.Fatalf("%d checks", begun)
		}
		s.mu.Lock()
		delete(s.asked, 0)
		s.mu.Unlock()
		time.Sleep(time.Second)
		second := ask(0)
		end <- struct{}{}
		if told(second) || begun != 3 {
			t.Errorf("told of a check that had begun before: %t; %d checks", told(second), begun)
		}
		end <- struct{}{}
		if !told(second) {
			t.Error("not told of the end of the next")
		}
		enabled = false
		if off := ask(0); !told(off) || begun != 3 {
			t.Errorf("it checks though it is to make none by itself")
		}
		cancel()
		<-over
	})
}

// When a check is wanted whatever the interval says.
func TestWhenACheckIsWanted(t *testing.T) {
	start := time.Date(2026, 11, 23, 5, 0, 0, 0, time.UTC)
	for group := range uint32(256) {
		led := wanted(&antientropy.Turn{Group: group, Since: start}, nil, true, true)
		other := wanted(&antientropy.Turn{Group: group, Since: start}, nil, false, true)
		if led.Before(start) || !led.Before(start.Add(untoldSpread)) || other.Sub(led) != untoldSpread {
			t.Fatalf("group %d: led here %v, elsewhere %v after the start", group, led.Sub(start), other.Sub(start))
		}
	}
	tried := &antientropy.Turn{Group: 3, Since: start, Tried: start.Add(time.Hour)}
	if at := wanted(tried, nil, true, true); at.Before(tried.Tried) || at.After(tried.Tried.Add(untoldSpread)) {
		t.Errorf("tried, and untold yet: %v", at)
	}
	failed := &antientropy.Turn{Group: 3, Since: start, Tried: start.Add(time.Hour), Failures: 1}
	if at := wanted(failed, nil, true, true); !at.IsZero() {
		t.Errorf("after a failure, which has its own pause: %v", at)
	}
	if at := wanted(tried, nil, true, false); !at.IsZero() {
		t.Errorf("told: %v", at)
	}
	if at := wanted(failed, &asked{at: start}, false, false); !at.Equal(start) {
		t.Errorf("asked for: %v", at)
	}
}
