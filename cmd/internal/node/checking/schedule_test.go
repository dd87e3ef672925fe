package checking

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

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
		if len(s.busy) != 3*checksAtOnce || len(s.free()) != checksAtOnce || w.begun.Load() != checksAtOnce || len(s.left) != 1 {
			t.Errorf("%d under way, %d free, %d check, %d were told", len(s.busy), len(s.free()), w.begun.Load(), len(s.left))
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
