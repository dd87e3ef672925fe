package resync

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
)

// everyPoint runs a test at each crash point of the table, in a world in which the job passes all of them.
func everyPoint(t *testing.T, test func(t *testing.T, r *rig, s Stage, point string)) {
	for _, info := range Stages {
		if len(info.Points) == 0 {
			t.Errorf("stage %s has no crash point", info.Stage)
		}
		for _, point := range info.Points {
			for name, prepare := range map[string]func(r *rig){
				"delta": func(r *rig) { r.stale(10) },
				"new":   func(r *rig) { r.brand() },
			} {
				t.Run(fmt.Sprintf("%s/%s/%s", info.Stage, point, name), func(t *testing.T) {
					t.Parallel() // most of it waits for the disk
					inWorld(t, func(t *testing.T, r *rig) {
						prepare(r)
						test(t, r, info.Stage, point)
						if r.passed[info.Stage.String()+" "+point] == 0 {
							t.Errorf("the point was not passed: %v", r.passed)
						}
					})
				})
			}
		}
	}
}

// once does something the first time that a point is passed.
func (r *rig) onceAt(s Stage, point string, do func()) {
	was := r.at
	done := false
	r.at = func(at Stage, p string) {
		if was != nil {
			was(at, p)
		}
		if at == s && p == point && !done {
			done = true
			do()
		}
	}
}

func TestTargetDiesAtEveryPointAndGoesOn(t *testing.T) {
	everyPoint(t, func(t *testing.T, r *rig, s Stage, point string) {
		r.onceAt(s, point, r.kill)
		r.mustBe(r.run(request7()), Done)
		if r.starts != 2 && point != "swept" {
			t.Fatalf("%d processes", r.starts)
		}
		if r.target.installs != 1 {
			t.Fatalf("%d installs", r.target.installs)
		}
	})
}

func TestTargetDiesTwiceInARow(t *testing.T) {
	everyPoint(t, func(t *testing.T, r *rig, s Stage, point string) {
		again := 0
		r.at = func(at Stage, p string) {
			if at == s && p == point && again < 2 {
				again++
				r.kill()
			}
		}
		r.mustBe(r.run(request7()), Done)
	})
}

func TestLeaderChangesAtEveryPoint(t *testing.T) {
	everyPoint(t, func(t *testing.T, r *rig, s Stage, point string) {
		r.onceAt(s, point, func() { r.elect(1) })
		r.mustBe(r.run(request7()), Done)
	})
}

// Nobody leads for longer than a lease lives, and longer than a job may look stuck.
func TestLeaderIsGoneForAWhileAtEveryPoint(t *testing.T) {
	everyPoint(t, func(t *testing.T, r *rig, s Stage, point string) {
		r.onceAt(s, point, func() {
			r.mu.Lock()
			r.leader = -1
			r.mu.Unlock()
			time.AfterFunc(100*time.Second, func() { r.elect(1) })
		})
		r.mustBe(r.run(request7()), Done)
	})
}

func TestCancelAtEveryPointLeavesTheOldState(t *testing.T) {
	everyPoint(t, func(t *testing.T, r *rig, s Stage, point string) {
		before := r.target.data
		r.onceAt(s, point, func() { r.cancel() })
		result := r.run(request7())
		if s == Ending || s == Promote && point == "counted" {
			r.mustBe(result, Done)
			return
		}
		if installed := r.target.installs > 0; installed != (s > Install || s == Install && point == "switched") {
			t.Fatalf("installed: %v", installed)
		}
		if r.target.installs == 0 && !before.equal(r.target.data) {
			t.Fatal("the old state is another one")
		}
		r.mustBe(result, Cancelled)
		if result.Row.Report.Installed != (r.target.installs > 0) {
			t.Fatalf("%+v", result.Row.Report)
		}
	})
}

// A cancel is not forgotten by a process that dies while it gives back.
func TestCancelledJobStaysCancelledOverARestart(t *testing.T) {
	for _, point := range infoOf(Ending).Points {
		inWorld(t, func(t *testing.T, r *rig) {
			r.stale(10)
			r.onceAt(Fetch, "opened", func() { r.cancel() })
			r.onceAt(Ending, point, r.kill)
			if r.mustBe(r.run(request7()), Cancelled); r.target.installs != 0 {
				t.Fatal("installed")
			}
		})
	}
}

// The process ends (SIGTERM) at each point: Run returns at once, and leaves what Resume needs.
func TestShutdownAtEveryPointInterruptsTheJob(t *testing.T) {
	everyPoint(t, func(t *testing.T, r *rig, s Stage, point string) {
		r.onceAt(s, point, func() { r.die() })
		began := time.Now()
		result, _ := r.once(request7(), nil)
		if s == Ending && (point == "leases ended" || point == "told" || point == "swept") { // nothing was left to wait for
			r.mustBe(result, Done)
			return
		}
		if result.Status != Interrupted || time.Since(began) > time.Minute {
			t.Fatalf("%s after %v", result.Status, time.Since(began))
		}
		r.restart()
		q, found, err := r.engine().Resume(testGroup)
		if !found || err != nil {
			t.Fatal(found, err)
		}
		r.mustBe(r.run(q), Done)
	})
}

func TestResumedReceiverDoesNotFetchAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		n := 0
		r.at = func(s Stage, point string) {
			if s == Fetch && point == "fetching" {
				if n++; n == 12 {
					r.kill()
				}
			}
			if s == Fetch && point == "gathered" {
				n = 100
			}
		}
		r.target.commitEach = true
		result := r.run(request7())
		r.mustBe(result, Done)
		moved := result.Row.Report.BytesMoved
		if kept := result.Row.Report.BytesKept; kept != 12*1200 || moved != 8*1200 {
			t.Fatalf("kept %d, moved %d after the restart", kept, moved)
		}
	})
}

func TestCancelOfAJobThatDoesNotRun(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		if r.engine().Cancel("job-1") {
			t.Fatal("cancelled")
		}
	})
}

func TestTwoJobsOfAGroupDoNotRunAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.faults.slow = time.Minute
		result, _ := r.once(request7(), func(e *Engine, _ context.CancelFunc) {
			_ = pause.For(t.Context(), time.Second)
			other := request7()
			other.ID = "job-2"
			if got := e.Run(t.Context(), other); got.Status != Failed || got.Err == nil {
				t.Errorf("%+v", got)
			}
		})
		r.mustBe(result, Done)
	})
}

// All was staged before the crash: what is shown as done is all of it.
func TestResumedJobShowsWhatItHas(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		r.target.commitEach = true
		r.onceAt(Fetch, "gathered", r.kill)
		result := r.run(request7())
		if r.mustBe(result, Done); result.Row.BytesDone != 20*1200 || result.Row.BytesTotal != 20*1200 || result.Row.Report.BytesKept != 20*1200 {
			t.Fatalf("%+v", result.Row)
		}
	})
}
