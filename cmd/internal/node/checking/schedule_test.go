package checking

import (
	"context"
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
	check func(antientropy.Options) (antientropy.Report, error)
}

func (c checksOf) CheckGroup(_ context.Context, _ uint32, o antientropy.Options) (antientropy.Report, error) {
	return c.check(o)
}

// Repairs that hang take no place from checks: as many begin as there is room for among those that check.
func TestRepairsTakeNoPlaceFromScheduledChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		repair, end := make(chan struct{}), make(chan struct{})
		s := newSchedule(&Config{Checks: checksOf{check: func(o antientropy.Options) (antientropy.Report, error) {
			if _, broken := <-repair; broken {
				o.Repairing()
			}
			<-end
			return antientropy.Report{Equal: true}, nil
		}}})
		var due []uint32
		for group := range uint32(3 * checksAtOnce) {
			s.turns[group] = &antientropy.Turn{Group: group}
			due = append(due, group)
		}
		var wg sync.WaitGroup
		s.begin(t.Context(), &wg, due)
		for range checksAtOnce {
			repair <- struct{}{}
		}
		if len(s.busy) != checksAtOnce || len(s.free()) != 2*checksAtOnce {
			t.Errorf("%d checks, %d free", len(s.busy), len(s.free()))
		}
		for range checksAtOnce {
			s.ended(<-s.done)
		}
		if len(s.free()) != 2*checksAtOnce {
			t.Errorf("a group that is repaired is to be checked again: %d are free", len(s.free()))
		}
		s.begin(t.Context(), &wg, due[checksAtOnce:])
		if len(s.busy) != 2*checksAtOnce || s.checking() != checksAtOnce {
			t.Errorf("%d under way, %d check", len(s.busy), s.checking())
		}
		close(repair)
		close(end)
		for range 2 * checksAtOnce {
			s.ended(<-s.done)
		}
		if wg.Wait(); len(s.busy) > 0 || s.turns[0].Tried.IsZero() {
			t.Errorf("%d are left", len(s.busy))
		}
	})
}

// So it is with those of suspect replicas.
func TestRepairsTakeNoPlaceFromChecksOfSuspects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newSuspects(nil)
		var begun atomic.Int32
		s.make = func(ctx context.Context, group uint32, repairing func()) {
			if begun.Add(1); group < 5 {
				repairing()
			}
			<-ctx.Done()
		}
		for group := range uint32(20) {
			s.queue <- group
		}
		over := make(chan struct{})
		go func() { defer close(over); s.Run(ctx) }()
		synctest.Wait()
		if n := begun.Load(); n != 5+repairsAtOnce {
			t.Errorf("%d were begun", n)
		}
		cancel()
		<-over
	})
}
