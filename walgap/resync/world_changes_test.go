package resync

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/walgap"
)

// slowly has each leaf take some time.
func (r *rig) slowly(each time.Duration) {
	r.faults.fetch = func(string, int) error { return pause.For(r.t.Context(), each) }
}

func TestLogIsNotTrimmedUnderALivingJob(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		r.slowly(20 * time.Second)
		n, lowest := 0, uint64(0)
		r.at = func(s Stage, point string) {
			if s == Ending {
				return
			}
			n++
			r.write(n, n)
			if r.trim(); s == Cut && point == "pinned" {
				lowest = r.first
			}
			if lowest > 0 && r.first != lowest {
				t.Errorf("%s: the log begins at %d, began at %d at the cut", s, r.first, lowest)
			}
		}
		if r.mustBe(r.run(request7()), Done); r.target.installs != 1 {
			t.Fatalf("%d installs", r.target.installs)
		}
		if r.trim(); r.first != r.last()+1 {
			t.Fatalf("the lease outlived its job: %d..%d, %v", r.first, r.last(), r.leases)
		}
	})
}

// The target's process never comes back: what it held ends by itself, on the leader too.
func TestLeasesOfATargetThatIsGoneForGoodRunOut(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.onceAt(Install, "recorded", r.kill)
		_, killed := r.once(request7(), nil)
		r.set(func() {
			if !killed || len(r.held) != 1 || len(r.leases) == 0 {
				t.Errorf("killed %v, %v, %v", killed, r.held, r.leases)
			}
		})
		_ = pause.For(t.Context(), leaseTTL+leaseSlack)
		r.trim()
		r.set(func() {
			if r.first != r.last()+1 || len(r.held) != 0 {
				t.Errorf("%d..%d, %v", r.first, r.last(), r.held)
			}
		})
	})
}

// No leader comes back: the job ends all the same, and only when its leases have run out (the rig checks that).
func TestJobWithoutALeaderEndsInBoundedTime(t *testing.T) {
	for _, s := range []Stage{Plan, Cut, Explore, Fetch, Install, Replay, Ending} {
		inWorld(t, func(t *testing.T, r *rig) {
			r.stale(10)
			r.firstPoint(s, func() { r.leader = -1 })
			began := time.Now()
			result := r.run(request7())
			if took := time.Since(began); !result.Status.Final() || took > time.Hour {
				t.Fatalf("%s: %s after %v", s, result.Status, took)
			}
			if result.Status == Failed && !strings.Contains(result.Row.Error, "no leader answers") {
				t.Errorf("%s: %s", s, result.Row.Error)
			}
		})
	}
}

func TestChangeOfLeaderKeepsFetchedLeaves(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		r.slowly(5 * time.Second)
		r.target.commitEach = true
		n := 0
		r.onceAt(Fetch, "fetching", func() {})
		was := r.at
		r.at = func(s Stage, p string) {
			was(s, p)
			if s == Fetch && p == "fetching" {
				if n++; n == 8 {
					r.elect(1)
				}
			}
		}
		result := r.run(request7())
		r.mustBe(result, Done)
		if rep := result.Row.Report; rep.BytesMoved != 20*1200 || rep.Restarts != 1 || rep.Attempts != 1 {
			t.Fatalf("%+v", rep)
		}
	})
}

func TestChangeOfEpochPlansAnew(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.onceAt(Hold, "held", func() { r.epoch++ })
		if r.mustBe(r.run(request7()), Done); r.passed["plan judged"] != 2 {
			t.Fatalf("%v", r.passed)
		}
	})
}

func TestChangeOfLineagePlansAnewIntoIt(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.onceAt(Fetch, "gathered", func() { r.lineage = "l2" })
		if r.mustBe(r.run(request7()), Done); r.target.lineage != "l2" || r.passed["plan judged"] != 2 {
			t.Fatalf("%v", r.passed)
		}
	})
}

func TestReplicaThatLostItsPlaceIsNotCopiedTo(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.onceAt(Hold, "held", func() { r.target.dismissed = true })
		if r.mustBe(r.run(request7()), Failed); r.target.installs != 0 {
			t.Fatal("installed")
		}
	})
}

func TestLostLogLeaseLeadsBackToPlan(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		r.slowly(5 * time.Second)
		r.onceAt(Fetch, "fetching", func() { r.mu.Lock(); delete(r.leases, "job-1"); r.mu.Unlock() })
		result := r.run(request7())
		if r.mustBe(result, Done); result.Row.Report.Restarts != 1 || result.Row.Report.BytesMoved != 20*1200 {
			t.Fatalf("%+v", result.Row.Report)
		}
	})
}

// A renewal is under way while the job ends: what it renews must not come back to life behind the end.
func TestRenewalUnderWayDoesNotOutliveTheJob(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		r.slowly(5 * time.Second)
		r.onceAt(Fetch, "opened", func() {
			r.set(func() {
				r.faults.lease = func() {
					r.set(func() { r.faults.lease = nil })
					r.cancel()
					_ = pause.For(r.t.Context(), 3*time.Second)
				}
			})
		})
		result := r.run(request7())
		_ = pause.For(t.Context(), 5*time.Second)
		r.set(func() {
			for id, l := range r.leases {
				if time.Now().Before(l.deadline) {
					t.Errorf("lease %s lives", id)
				}
			}
		})
		r.mustBe(result, Cancelled)
	})
}

func TestAbortedCutsAreCountedAndTheLongestPauseIsShown(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.faults.aborts = 3
		result := r.run(request7())
		r.mustBe(result, Done)
		if rep := result.Row.Report; rep.CutsAborted != 3 || rep.Cuts != 4 || result.Row.Fence != 50*time.Millisecond || rep.FenceMaxMs != 50 {
			t.Fatalf("%+v, %v", rep, result.Row.Fence)
		}
	})
}

func TestCutsThatAreAlwaysAbortedEndTheJob(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.faults.aborts = 1000
		result := r.run(request7())
		if r.mustBe(result, Failed); result.Row.Attempt != 3 || result.Row.Report.CutsAborted != 3*maxAborts {
			t.Fatalf("%+v", result.Row.Report)
		}
	})
}

func TestRecordHeldForAnotherJobIsWaitedFor(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.faults.busy = 20
		if r.mustBe(r.run(request7()), Done); r.passed["plan judged"] != 1 {
			t.Fatalf("%v", r.passed)
		}
	})
}

func TestJobThatStandsStillSaysWhatItWaitsFor(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.fall(10)
		r.target.running = false
		time.AfterFunc(2*time.Minute, func() {
			r.mu.Lock()
			r.target.running, r.target.moved = true, time.Now()
			r.mu.Unlock()
		})
		r.mustBe(r.run(request7()), Done)
		var after time.Duration
		stalled := false
		for _, row := range r.rows {
			if row.Status == Stalled {
				stalled = true
				if row.BlockedBy != "the replica does not run" || row.EtaS != nil {
					t.Errorf("stalled: blocked by %q, ETA %v", row.BlockedBy, row.EtaS)
				}
			}
			if row.Status == Running && stalled {
				after = row.LastProgressAt.Sub(row.StartedAt)
			}
		}
		if !stalled || after < 2*time.Minute {
			t.Fatalf("stalled: %v, ran again after %v", stalled, after)
		}
	})
}

// Where nothing says what it waits for, it says since when.
func TestJobWhoseSourcesHangSaysSinceWhen(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		r.slowly(45 * time.Second)
		r.mustBe(r.run(request7()), Done)
		seen := 0
		for _, row := range r.rows {
			if row.Status == Stalled {
				if seen++; !strings.HasPrefix(row.BlockedBy, "stage fetch has not progressed since ") {
					t.Errorf("blocked by %q", row.BlockedBy)
				}
			}
		}
		if seen == 0 {
			t.Error("never stalled")
		}
	})
}

// What comes behind the last leaf is in the estimate from the beginning: a copy of a few bytes is mostly that.
func TestEstimateOfACopyHasTheSwitchInIt(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		r.slowly(time.Second)
		r.meter.Observe(func(rates walgap.Rates) walgap.Rates { return rates.WithCut(8 * time.Second) })
		r.mustBe(r.run(request7()), Done)
		seen := 0
		for _, row := range r.rows {
			if row.Stage == Fetch && row.BytesDone*10 >= row.BytesTotal && row.BytesDone > 0 && row.EtaS != nil {
				truth := 8 + float64(row.BytesTotal-row.BytesDone)/1200
				if seen++; *row.EtaS < truth/1.5 || *row.EtaS > truth*1.5 {
					t.Errorf("%d of %d bytes: %.1f s, truth %.1f s", row.BytesDone, row.BytesTotal, *row.EtaS, truth)
				}
			}
		}
		if seen < 10 {
			t.Errorf("%d rows tell", seen)
		}
	})
}

func TestOnlySourceThatWasAskedForGives(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		q := request7()
		q.From = "n2"
		result := r.run(q)
		if r.mustBe(result, Done); len(result.Row.Sources) != 1 || result.Row.Sources[0].Node != "n2" {
			t.Fatalf("%v", result.Row.Sources)
		}
		r.rows = nil
		r.wiped()
		q.From = "n9"
		if r.mustBe(r.run(q), Failed); !strings.Contains(r.rows[len(r.rows)-1].Error, "n9") {
			t.Fatal(r.rows[len(r.rows)-1].Error)
		}
	})
}

func TestTargetThatLeadsHasNothingToDo(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.elect(2)
		r.target.catchUp(r.last())
		if r.mustBe(r.run(request7()), Done); r.verdict() != "none" {
			t.Fatal(r.verdict())
		}
	})
}

// Who leads copies from nobody, and cannot be copied to: it hands over first. A dry run of that says what it costs, and hands
// nothing over.
func TestTargetThatLeadsHandsOverBeforeItIsCopiedTo(t *testing.T) {
	for mode, moved := range map[walgap.Mode]int64{walgap.FullSync: 20 * 1200, walgap.PartialSync: 0} {
		t.Run(mode.String(), func(t *testing.T) {
			inWorld(t, func(t *testing.T, r *rig) {
				r.elect(2)
				r.target.catchUp(r.last())
				plan := r.dryRun(t, mode).Row
				if r.leader != 2 || plan.PlannedBytes != moved || len(plan.Offered) != 2 || !strings.Contains(plan.Reason, "hands that over first") {
					t.Fatalf("n%d leads, %+v", r.leader+1, plan)
				}
				r.rows = nil
				q := request7()
				q.Mode = mode
				result := r.run(q)
				r.mustBe(result, Done)
				if r.leader != 0 || result.Row.Verdict != plan.Verdict || result.Row.Report.BytesMoved != moved || result.Row.Attempt != 1 {
					t.Fatalf("n%d leads, %+v", r.leader+1, result.Row)
				}
			})
		})
	}
}

// Where the leader that is to be copied to is needed for the quorum, it is not the only source of itself.
func TestDryRunOfALeaderThatTheQuorumNeedsNamesTheOthers(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.elect(2)
		r.target.catchUp(r.last())
		r.alone, r.target.running = true, false
		if plan := r.dryRun(t, walgap.FullSync).Row; plan.Verdict != "full" || len(plan.Offered) != 2 {
			t.Fatalf("%+v", plan)
		}
	})
}

// A job that its process took up again finds that its replica leads meanwhile.
func TestTargetThatCameToLeadHandsOverOnceMore(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		killed := false
		r.at = func(s Stage, point string) {
			if s == Fetch && point == "opened" && !killed {
				killed = true
				r.target.catchUp(r.last())
				r.elect(2)
				r.target.catchUp(r.last())
				r.kill()
			}
		}
		q := request7()
		q.Mode = walgap.FullSync
		if r.mustBe(r.run(q), Done); !killed || r.leader != 0 {
			t.Fatalf("n%d leads, killed: %v", r.leader+1, killed)
		}
	})
}

func TestTargetThatNobodyRelievesIsNotCopiedTo(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.elect(2)
		r.target.catchUp(r.last())
		r.faults.replica = func(method string) error {
			if method == "aside" {
				return errNoQuorum
			}
			return nil
		}
		q := request7()
		q.Mode = walgap.FullSync
		result := r.run(q)
		if r.mustBe(result, Failed); !strings.Contains(result.Err.Error(), errNoQuorum.Error()) || result.Row.Attempt != 1 {
			t.Fatalf("%v, attempt %d", result.Err, result.Row.Attempt)
		}
	})
}

// The run and its dry run say the same where there is nobody to copy from.
func TestTargetThatLeadsAloneIsRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.elect(2)
		r.target.catchUp(r.last())
		r.away = true
		q := request7()
		q.Mode = walgap.FullSync
		result := r.run(q)
		r.mustBe(result, Failed)
		r.rows, q.DryRun = nil, true
		dry, _ := r.once(q, nil)
		if dry.Err == nil || dry.Err.Error() != result.Err.Error() || !strings.Contains(dry.Err.Error(), "nobody to copy from") {
			t.Fatalf("%v; dry: %v", result.Err, dry.Err)
		}
	})
}

func TestFullSyncComparesNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		q := request7()
		q.Mode = walgap.FullSync
		result := r.run(q)
		if r.mustBe(result, Done); result.Row.LeavesEqual != 0 || result.Row.Report.BytesMoved != 20*1200 {
			t.Fatalf("%+v", result.Row)
		}
	})
}

// The row's keeper fails for a while: the job is not final before its end was kept.
func TestEndIsKeptBeforeTheStagingGoes(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.onceAt(Ending, "leases ended", func() { r.rowsMu.Lock(); r.refuses = 3; r.rowsMu.Unlock() })
		r.onceAt(Ending, "told", func() {
			if r.told() != Done {
				t.Error("the staging goes, and nobody knows how the job ended")
			}
		})
		r.mustBe(r.run(request7()), Done)
	})
}

func TestProcessThatEndsDuringABackoffReturnsAtOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.leader = -1
		result, _ := r.once(request7(), func(_ *Engine, die context.CancelFunc) {
			_ = pause.For(t.Context(), 5*time.Minute+500*time.Millisecond)
			die()
		})
		if result.Status != Interrupted {
			t.Fatal(result.Status)
		}
	})
}

// What was installed once stays told, also if the job then has to copy again, and does not get there.
func TestInstallOfAnEarlierLineageIsNotForgotten(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.onceAt(Replay, "watching", func() { r.set(func() { r.lineage = "l2" }) })
		opened := 0
		was := r.at
		r.at = func(s Stage, point string) {
			if was(s, point); s == Fetch && point == "opened" {
				if opened++; opened == 2 {
					r.cancel()
				}
			}
		}
		result := r.run(request7())
		if r.mustBe(result, Cancelled); !result.Row.Report.Installed || r.target.installs != 1 {
			t.Fatalf("%+v, %d installs", result.Row.Report, r.target.installs)
		}
	})
}

// Before a copy is proven the others that have its cut pinned are asked for their roots, once for each challenge; a record
// that the leader alone has pinned has no witness.
func TestCutThatIsProvenIsWitnessed(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		r.mustBe(r.run(request7()), Done)
		if len(r.witnessed) != 1 || r.passed["install challenged"] != 1 {
			t.Errorf("%d challenges, witnessed: %v", r.passed["install challenged"], r.witnessed)
		}
	})
	inWorld(t, func(t *testing.T, r *rig) {
		r.wiped()
		r.alone = true
		r.mustBe(r.run(request7()), Done)
		if len(r.witnessed) != 0 || r.passed["install challenged"] == 0 {
			t.Errorf("%d challenges, witnessed: %v", r.passed["install challenged"], r.witnessed)
		}
	})
}
