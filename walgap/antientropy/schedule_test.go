package antientropy

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	epoch   = time.Date(2026, 11, 22, 13, 7, 11, 0, time.UTC)
	hourly  = Settings{Enabled: true, Interval: time.Hour, ScrubInterval: 24 * time.Hour}
	aMinute = time.Minute
)

// simulate plays a day of 256 groups in which every check proves and takes no time, and gives the times of the checks.
func simulate(s Settings, turns []Turn, span time.Duration) map[uint32][]time.Time {
	at := map[uint32][]time.Time{}
	for now := epoch; now.Before(epoch.Add(span)); {
		next := NextDue(now, s, turns)
		if next.IsZero() {
			break
		}
		if next.After(now) {
			now = next
		}
		for _, g := range Due(now, s, turns) {
			at[g] = append(at[g], now)
			i := slices.IndexFunc(turns, func(t Turn) bool { return t.Group == g })
			turns[i].Proof, turns[i].Tried = now, now
		}
		now = now.Add(time.Millisecond)
	}
	return at
}

func TestEveryGroupOnceInAnIntervalSpreadEvenly(t *testing.T) {
	var turns []Turn
	for g := range uint32(256) {
		turns = append(turns, Turn{Group: g, Since: epoch})
	}
	at := simulate(hourly, turns, 5*time.Hour)
	perMinute := map[int]int{}
	for g := range uint32(256) {
		list := at[g]
		if len(list) < 5 || len(list) > 6 || list[0].Sub(epoch) > time.Hour {
			t.Fatalf("group %d: %v", g, list)
		}
		for i, x := range list {
			if i > 0 && x.Sub(list[i-1]) != time.Hour {
				t.Fatalf("group %d: %v", g, list)
			}
			perMinute[int(x.Sub(epoch)/time.Minute)]++
		}
	}
	for m := range 5 * 60 {
		if n := perMinute[m]; n < 2 || n > 7 { // 256 / 60 = 4.3
			t.Errorf("%d checks in minute %d", n, m)
		}
	}
}

func TestSkippedGroupIsTriedSooner(t *testing.T) {
	turn := Turn{Group: 5, Since: epoch.Add(-time.Hour), Proof: epoch.Add(-time.Hour), Tried: epoch}
	for failures, want := range map[int]time.Duration{
		1: aMinute, 2: 2 * aMinute, 3: 4 * aMinute, 6: 32 * aMinute, 7: time.Hour, 60: time.Hour,
	} {
		turn.Failures = failures
		if got := NextDue(epoch, hourly, []Turn{turn}).Sub(epoch); got != want {
			t.Errorf("%d failures: in %v, want %v", failures, got, want)
		}
		if len(Due(epoch.Add(want-1), hourly, []Turn{turn})) > 0 || len(Due(epoch.Add(want), hourly, []Turn{turn})) == 0 {
			t.Errorf("%d failures: not due in %v", failures, want)
		}
	}
	turn.Failures, turn.Soon = 1, true
	if got := NextDue(epoch, hourly, []Turn{turn}).Sub(epoch); got != aMinute/8 {
		t.Errorf("a moment that passes: in %v", got)
	}
	short := hourly
	short.Interval = 10 * time.Second
	turn.Soon = false
	if got := NextDue(epoch, short, []Turn{turn}).Sub(epoch); got != 10*time.Second {
		t.Errorf("never later than the interval: %v", got)
	}
}

func TestOverdueGroupsFirst(t *testing.T) {
	turns := []Turn{
		{Group: 1, Proof: epoch.Add(-2 * time.Hour)},
		{Group: 2, Proof: epoch.Add(-9 * time.Hour)},
		{Group: 3, Proof: epoch},
	}
	if got := Due(epoch, hourly, turns); !slices.Equal(got, []uint32{2, 1}) {
		t.Errorf("%v", got)
	}
	off := hourly
	off.Enabled = false
	if len(Due(epoch, off, turns)) > 0 || !NextDue(epoch, off, turns).IsZero() {
		t.Error("checks although they are off")
	}
}

// Whatever the history: the next check is later than the last, and at most an interval later unless it failed.
func TestNextMoment(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := Settings{Enabled: true, Interval: time.Duration(rapid.Int64Range(1, int64(48*time.Hour)).Draw(rt, "interval"))}
		turn := Turn{Group: rapid.Uint32().Draw(rt, "group"), Since: epoch}
		if rapid.Bool().Draw(rt, "proven") {
			turn.Proof = epoch.Add(time.Duration(rapid.Int64Range(-int64(100*time.Hour), int64(time.Hour)).Draw(rt, "proof")))
		}
		last := turn.Since
		if !turn.Proof.IsZero() {
			last = turn.Proof
		}
		next := NextDue(epoch, s, []Turn{turn})
		if !next.After(last) || next.Sub(last) > max(s.Interval, minInterval) {
			rt.Fatalf("last %v, next %v, interval %v", last, next, s.Interval)
		}
	})
}
