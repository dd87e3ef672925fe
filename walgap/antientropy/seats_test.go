package antientropy

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever waits has no seat; whoever asks replicas, or has them read, has one, whatever it waited for before.
func TestACheckHasASeatUnlessItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.leader = 2
		w.replicas[0].rotten[leaves[1]] = true
		w.replicas[1].rotten[leaves[0]] = true
		w.replicas[2].rotten[leaves[0]], w.replicas[2].rotten[leaves[1]] = true, true // four repairs
		seats := NewSeats(1)
		e := w.engine()
		release, err := e.groups.take(t.Context(), 7, nil) // of an earlier check of the group
		if err != nil {
			t.Fatal(err)
		}
		calls := map[string]int{}
		w.fault = func(call, _ string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			calls[call]++
			if call != "members" && call != "end" && seats.Full() == (call == "repair") {
				t.Errorf("%s: it has a seat: %v", call, seats.Full())
			}
			return nil
		}
		o := mending
		o.Deep, o.Seat = true, seats.Try()
		var wg sync.WaitGroup
		wg.Go(func() {
			if r, err := e.Check(t.Context(), 7, o); err != nil || !r.Repaired {
				t.Errorf("%+v, %v", r, err)
			}
		})
		synctest.Wait()
		if seats.Full() {
			t.Error("it has a seat, and waits for another check of its group")
		}
		other := seats.Try()
		release()
		synctest.Wait()
		if len(calls) > 0 {
			t.Errorf("without a seat: %v", calls)
		}
		other.Leave()
		wg.Wait()
		if calls["repair"] != 4 || calls["inspect"] < 3 || !seats.Full() {
			t.Errorf("%v, has its seat: %v", calls, seats.Full())
		}
		o.Seat.Leave()
		o.Seat.Leave()
		if seats.Full() {
			t.Error("it has left")
		}
	})
}

// However many checks come back to their seats at once, after checks of their groups that had hung in repairs, no more of
// them work than there are seats.
func TestChecksThatComeBackAtOnceAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const groups, atOnce = 12, 3
		m := manyGroups{make(map[uint32]*world)}
		hang := make(chan struct{})
		var working, most atomic.Int32
		for g := range uint32(groups) {
			w := newWorld(t, 3)
			w.replicas[1].data[leaves[1]] = 99
			w.fault = func(call, _ string) error {
				switch call {
				case "repair":
					<-hang
					return errors.New("it hung")
				case "cut":
					most.Store(max(most.Load(), working.Add(1)))
					time.Sleep(time.Second)
				case "end":
					working.Add(-1)
				}
				return nil
			}
			m.of[g] = w
		}
		e, err := New(Config{Cluster: m, Logger: slog.New(slog.DiscardHandler), PerNode: groups})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		job := func(o Options) {
			wg.Go(func() {
				seats := NewSeats(atOnce)
				for g := range uint32(groups) {
					seat, err := seats.Take(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					wg.Go(func() {
						defer seat.Leave()
						o := o
						o.Seat = seat
						if _, err := e.Check(t.Context(), g, o); err != nil {
							t.Error(err)
						}
					})
				}
			})
		}
		job(mending)
		time.Sleep(time.Minute)
		calls := func() (cuts, repairs int) {
			for _, w := range m.of {
				w.mu.Lock()
				cuts, repairs = cuts+w.calls["cut"], repairs+w.calls["repair"]
				w.mu.Unlock()
			}
			return cuts, repairs
		}
		if cuts, repairs := calls(); cuts != groups || repairs != groups {
			t.Fatalf("%d cuts, %d repairs", cuts, repairs)
		}
		job(Options{})
		time.Sleep(time.Minute)
		most.Store(0)
		close(hang)
		time.Sleep(time.Minute)
		if cuts, _ := calls(); cuts != 2*groups || most.Load() != atOnce {
			t.Errorf("%d cuts, %d at once", cuts, most.Load())
		}
	})
}

// Who comes back is before those that come later, and gives up with its context.
func TestSeatsAreGivenInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seats := NewSeats(1)
		back := seats.Try()
		back.Leave()
		first := seats.Try()
		ctx, cancel := context.WithCancel(t.Context())
		var order []string
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := back.Return(ctx); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			back.Leave() // of nothing
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		for _, name := range []string{"back", "later"} {
			wg.Go(func() {
				seat := back
				if name == "later" {
					seat = &Seat{seats: seats}
				}
				if err := seat.Return(t.Context()); err != nil {
					t.Error(err)
				}
				order = append(order, name)
				seat.Leave()
			})
			synctest.Wait()
		}
		if !seats.Full() || seats.Try() != nil {
			t.Error("the seat was given up while somebody had it")
		}
		first.Leave()
		wg.Wait()
		if !slices.Equal(order, []string{"back", "later"}) || seats.Full() {
			t.Errorf("%v", order)
		}
		var none *Seat
		none.Leave()
		if err := none.Return(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
