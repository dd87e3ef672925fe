package resync

import (
	"context"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/walgap"
)

func TestPlanUnderARateTakesAsLongAsTheRateAllows(t *testing.T) {
	const slow = 64 << 10 // bytes/s, the lowest that a price knows
	planned := func(t *testing.T, dry bool, own, node int64) (s float64) {
		inWorld(t, func(t *testing.T, r *rig) {
			r.stale(10)
			q := request7()
			q.DryRun, q.Rate, r.limit = dry, own, node
			result, _ := r.once(q, nil)
			s = result.Row.PlannedS
		})
		return s
	}
	for _, dry := range []bool{true, false} {
		free, own, node := planned(t, dry, 0, 0), planned(t, dry, slow, 0), planned(t, dry, 1<<30, slow)
		if least := free + 0.99*4*1200/slow; own < least || node < least {
			t.Errorf("dry run %v: %v s, %v s under its own rate, %v s under that of the node", dry, free, own, node)
		}
	}
}

func TestRateOfAnOperatorIsNotTakenForTheSpeedOfTheWire(t *testing.T) {
	for _, tt := range []struct {
		limit int64
		moved bool
	}{{0, true}, {1 << 20, false}, {1 << 30, true}} {
		if r := observeFetch(walgap.Rates{}, 10<<20, 10*time.Second, 10*time.Second, tt.limit); r.WireBytesPerS.Measured() != tt.moved {
			t.Errorf("limit %d: %+v", tt.limit, r)
		}
	}
}

func TestCutsWhoseViewsAreLostAtOnceAreNotMadeInAHotLoop(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.at = func(s Stage, point string) {
			if s == Fetch && point == "opened" {
				r.mu.Lock()
				defer r.mu.Unlock()
				clear(r.pinned)
			}
		}
		began := time.Now()
		q := request7()
		q.MaxAttempts = 1
		if result := r.run(q); result.Status != Failed || result.Row.Report.Cuts < 10 {
			t.Fatalf("%+v", result)
		} else if took := time.Since(began); took < time.Duration(result.Row.Report.Cuts)*time.Second {
			t.Errorf("%d cuts in %v", result.Row.Report.Cuts, took)
		}
	})
}

// queuedReplica may be copied to only after a while.
type queuedReplica struct {
	Replica
	wait time.Duration
}

func (q queuedReplica) Turn(ctx context.Context, _ string) error { return pause.For(ctx, q.wait) }

func TestWaitingForATurnCostsNoAttempt(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.queued = time.Hour
		result := r.run(request7())
		r.mustBe(result, Done)
		if result.Row.Attempt != 1 {
			t.Errorf("%d attempts", result.Row.Attempt)
		}
	})
}

func TestJobThatWaitsForItsTurnIsCancelled(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.queued = time.Hour
		began := time.Now()
		result, _ := r.once(request7(), func(e *Engine, _ context.CancelFunc) {
			_ = pause.For(context.Background(), 10*time.Minute)
			e.Cancel("job-1")
		})
		if result.Status != Cancelled || time.Since(began) > 11*time.Minute {
			t.Errorf("%s after %v", result.Status, time.Since(began))
		}
	})
}
