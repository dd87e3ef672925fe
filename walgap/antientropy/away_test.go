package antientropy

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// rotsAndIsMendedElsewhere makes n2 rot, and another check repair it from the moment at which this one asks it a
// question; it is away for so long.
func rotsAndIsMendedElsewhere(w *world, question string, nth int, away time.Duration) {
	n2 := w.replicas[1]
	n2.rotten[leaves[1]] = true
	var back time.Time
	asked := 0
	w.fault = func(call, node string) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		if call == question && node == "n2" {
			asked++
		}
		if asked < nth || node != "n2" {
			return nil
		}
		if back.IsZero() {
			back = time.Now().Add(away)
		}
		if time.Now().Before(back) {
			return fmt.Errorf("waits for the install: %w", ErrAway)
		}
		clear(n2.rotten)
		for _, views := range w.cuts { // the file was switched under them
			if v := views["n2"]; v != nil && v.rotten[leaves[1]] {
				delete(views, "n2")
			}
		}
		return nil
	}
}

func TestWhoIsRepairedByAnotherCheckIsWaitedFor(t *testing.T) {
	deep, mend, uncut, quick := Options{Deep: true}, Options{Deep: true, Repair: true}, Options{Deep: true, Mode: Verify}, Options{Quick: true}
	for question, asked := range map[string][]Options{
		"standing": {uncut, quick}, "inspect": {uncut, deep, mend}, "root": {deep, mend}, "leaves": {deep, mend}, "reread": {deep, mend},
	} {
		for _, o := range asked {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3)
				rotsAndIsMendedElsewhere(w, question, 1, awayBound-2*awayPoll)
				r := w.check(o)
				if r.Unchecked != "" || len(r.Missing) > 0 || !r.Equal || w.total("repair", "accuse") != 0 {
					t.Errorf("%s, %+v: %+v", question, o, r)
				}
				found := len(r.Findings) == 1 && r.Findings[0].Node == "n2" && *r.Findings[0].Leaf == leaves[1] && r.Findings[0].Action == Repaired &&
					strings.HasSuffix(r.Findings[0].Why, mendedMeanwhile)
				if met := question == "leaves" || question == "reread"; met != found || met != r.Damaged || met != r.Repaired {
					t.Errorf("%s, %+v: what it had read before is not told, or what it had not is: %+v", question, o, r)
				}
			})
		}
	}
}

// Under suspicion already, and at its repair: that is told, too.
func TestWhoIsUnderRepairAtTheBeginIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		rotsAndIsMendedElsewhere(w, "root", 1, time.Second)
		n2 := w.replicas[1]
		n2.Suspect = &Suspicion{Why: "a block fails its CRC", Leaves: leaves[1:2]}
		fault := w.fault
		w.fault = func(call, node string) error {
			err := fault(call, node)
			if err == nil && call == "root" && node == "n2" {
				w.set(func() { n2.Suspect = nil }) // by the other check
			}
			return err
		}
		if r := w.check(Options{Repair: true}); !r.Equal || !r.Repaired || len(r.Findings) != 1 || r.Findings[0].Why != "a block fails its CRC"+mendedMeanwhile {
			t.Errorf("%+v", r)
		}
	})
}

// Who does not come back in time is missing, and the check says what it waits for.
func TestWhoStaysAwayIsMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, o := range []Options{{}, {Quick: true}, {Deep: true}, {Mode: Verify}} {
			w := newWorld(t, 3)
			rotsAndIsMendedElsewhere(w, "root", 1, 24*time.Hour)
			if o.Mode == Verify || o.Quick {
				rotsAndIsMendedElsewhere(w, "standing", 1, 24*time.Hour)
			}
			began := time.Now()
			r := w.check(o)
			if took := time.Since(began); r.Equal || len(r.Missing) != 1 || !strings.Contains(r.Unchecked, "n2: waits for the install") ||
				took < awayBound || took > awayBound+2*awayPoll {
				t.Errorf("%+v: after %v: %+v", o, took, r)
			}
			if r.Damaged || !r.Passing {
				t.Errorf("%+v: blamed for being away, or no moment that passes: %+v", o, r)
			}
		}
	})
}

// A repair of one's own: the check at a later cut waits for who is away, too.
func TestACheckAfterARepairWaitsForWhoIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.replicas[1].data[leaves[1]] = 99
		var back time.Time
		w.fault = func(call, node string) error {
			if call == "repair" {
				back = time.Now().Add(20 * time.Second)
			}
			if node == "n3" && (call == "root" || call == "standing") && time.Now().Before(back) {
				return ErrAway
			}
			return nil
		}
		if r := w.check(mending); !r.Equal || !r.Repaired || r.Unchecked != "" {
			t.Errorf("%+v", r)
		}
	})
}

// While a check waits for who is away, others have its seat.
func TestWhoWaitsForWhoIsAwayHasNoSeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		rotsAndIsMendedElsewhere(w, "root", 1, 10*time.Second)
		seats := NewSeats(1)
		seat := seats.Try()
		go func() {
			time.Sleep(5 * time.Second)
			if other := seats.Try(); other == nil {
				t.Error("the seat is held")
			} else {
				time.Sleep(10 * time.Second)
				if asked := w.total("root"); asked != 3 {
					t.Errorf("%d roots were asked for without a seat", asked)
				}
				other.Leave()
			}
		}()
		began := time.Now()
		r := w.check(Options{Seat: seat})
		if seat.Leave(); !r.Equal || time.Since(began) < 15*time.Second {
			t.Errorf("after %v: %+v", time.Since(began), r)
		}
	})
}
