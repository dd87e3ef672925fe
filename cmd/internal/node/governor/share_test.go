package governor

import (
	"testing"
	"time"
)

// machine plays background work that always has more to do, slice after slice, and gives the share of the time that it worked.
func machine(t *testing.T, s *share, spell time.Duration, late func(of float64) time.Duration) float64 {
	t.Helper()
	worked, from, now := time.Duration(0), s.at, s.at
	for now-from < spell {
		var wait time.Duration
		*s, wait = s.worked(Slice)
		now += Slice
		worked += Slice
		if wait == 0 {
			continue
		}
		if wait > Longest {
			t.Fatalf("it waits for %v", wait)
		}
		l := late(s.of)
		now += wait + l
		*s = s.waited(now, wait, l)
		if s.of < Floor || s.of > Ceiling {
			t.Fatalf("its share is %v", s.of)
		}
	}
	return float64(worked) / float64(now-from)
}

func TestShareFollowsHowPunctualTheMachineIs(t *testing.T) {
	punctual := func(float64) time.Duration { return time.Millisecond }
	crowded := func(float64) time.Duration { return Late + time.Millisecond }
	s := begin(0)
	if got := machine(t, &s, time.Second, punctual); got < first || got > 0.5 {
		t.Errorf("in the first second it gets %.2f", got)
	}
	if machine(t, &s, 5*time.Second, punctual); s.of != Ceiling {
		t.Errorf("with cores to spare its share is %.2f after 6 s", s.of)
	}
	if got := machine(t, &s, time.Second, punctual); got < 0.9*Ceiling {
		t.Errorf("with cores to spare it gets %.2f", got)
	}
	if machine(t, &s, time.Second, crowded); s.of != Floor {
		t.Errorf("where it is always late its share is %.2f after 1 s", s.of)
	}
	// However busy the machine is, what was begun ends: it works for a tenth of the time, less how late it is.
	if got := machine(t, &s, 10*time.Second, crowded); got < 0.9*Floor || got > 1.1*Floor {
		t.Errorf("where it is always late it gets %.3f", got)
	}
}

// Where it is late above some share, and punctual below, the share stays around that, and is late seldom.
func TestShareSettles(t *testing.T) {
	for _, border := range []float64{0.15, 0.25, 0.35} {
		late, waits := 0, 0
		s := begin(0)
		machine(t, &s, 10*time.Second, func(of float64) time.Duration { return lateAbove(of, border) })
		got := machine(t, &s, 20*time.Second, func(of float64) time.Duration {
			if waits++; of > border {
				late++
			}
			return lateAbove(of, border)
		})
		if got < 0.65*border || got > 1.15*border {
			t.Errorf("it is late above %.2f, and gets %.2f", border, got)
		}
		if late > waits/10 {
			t.Errorf("border %.2f: late %d times of %d", border, late, waits)
		}
	}
}

func lateAbove(of, border float64) time.Duration {
	if of > border {
		return 2 * Late
	}
	return Late / 2
}

func TestOnePieceNeverStopsTheRest(t *testing.T) {
	s := share{of: Floor}
	s, wait := s.worked(time.Minute)
	if wait != Longest {
		t.Errorf("after a piece of a minute it waits for %v", wait)
	}
	if s = s.waited(Longest, wait, 0); s.owed != 0 {
		t.Errorf("after the wait it owes %v", s.owed)
	}
	if s = s.waited(time.Second, 0, time.Second); s.owed != -credit {
		t.Errorf("a wait that was a second too long saves %v", -s.owed)
	}
	if _, wait = (share{of: 0.8}).worked(Slice); wait != 0 {
		t.Errorf("it waits for %v, which no timer can", wait)
	}
}
