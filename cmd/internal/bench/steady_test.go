package bench

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage"
)

// stalling answers after a millisecond, but not while it stalls.
type stalling struct{ from, to time.Time }

func (s stalling) Write(ctx context.Context, _ []storage.Point) error {
	time.Sleep(time.Millisecond)
	if now := time.Now(); now.After(s.from) && now.Before(s.to) {
		time.Sleep(s.to.Sub(now))
	}
	return ctx.Err()
}

func (stalling) Range(context.Context, storage.Series, int64, int64) (int, error) { return 0, nil }
func (stalling) Last(context.Context, storage.Series) (int, error)                { return 0, nil }

// A second without answers is seen by each of the writes that were due in it, also by those that could not be sent.
func TestSteadyLoadSeesAStallInFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		conn := stalling{now.Add(10 * time.Second), now.Add(11 * time.Second)}
		s, err := StartSteady(t.Context(), []Conn{conn}, 1000, 50, func(int64) storage.Point { return storage.Point{} })
		if err != nil {
			t.Fatal(err)
		}
		defer s.Stop()
		time.Sleep(9 * time.Second)
		if calm := s.Mark(); calm.Writes < 8990 || calm.P99Ms > 1.1 || len(calm.Errors) > 0 {
			t.Errorf("before the stall: %+v", calm)
		}
		time.Sleep(10 * time.Second)
		// 1,000 of 10,000 writes waited between a second and nothing: the 99th percentile is about 900 ms.
		if stalled := s.Mark(); stalled.Writes < 9990 || stalled.P99Ms < 800 || stalled.P99Ms > 950 || stalled.MaxMs < 950 {
			t.Errorf("with the stall: %+v", stalled)
		}
	})
}

// Of 90 fast writes and 10 slow ones the 95th percentile is slow, however they are spread over spells.
func TestJoinedSpellsCountAllWrites(t *testing.T) {
	spell := func(n int, took time.Duration) Spell {
		var h histogram
		for range n {
			h.add(took)
		}
		return newSpell(1, h, map[string]int{"timeout": 1})
	}
	joined := Join(spell(90, time.Millisecond), spell(10, 100*time.Millisecond))
	if joined.Writes != 100 || joined.Seconds != 2 || joined.P50Ms > 1.1 || joined.P99Ms < 99 || joined.MaxMs != 100 || joined.Errors["timeout"] != 2 {
		t.Errorf("joined: %+v", joined)
	}
}
