package resync

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/walgap"
)

// dryRun runs a dry run and checks that it left no trace.
func (r *rig) dryRun(t *testing.T, mode walgap.Mode) Result {
	t.Helper()
	q := request7()
	q.DryRun, q.Mode = true, mode
	before, data := r.last(), r.target.data
	result, _ := r.once(q, nil)
	if result.Status != Done {
		t.Fatalf("%s: %v", result.Status, result.Err)
	}
	if r.last() != before || len(r.leases) != 0 || r.target.hold != nil || !r.target.data.equal(data) || len(r.pinned) != 0 {
		t.Fatalf("a dry run left something: %d entries, leases %v, pins %v", r.last()-before, r.leases, r.pinned)
	}
	if _, err := os.Stat(r.dir); err == nil {
		t.Fatal("a dry run left staging")
	}
	return result
}

func TestDryRunTellsThePriceAndLeavesNoTrace(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		row := r.dryRun(t, walgap.Auto).Row
		if row.Verdict != "delta" || row.Reason == "" || row.PlannedBytes != 4*1200 || row.LeavesTotal != 20 || row.LeavesDiffering != 4 ||
			row.LeavesEqual != 16 || len(row.Offered) != 2 || row.EtaS == nil || row.PlannedS <= 0 {
			t.Fatalf("%+v", row)
		}
		r.rows = nil
		if result := r.run(request7()); result.Row.PlannedBytes != row.PlannedBytes || result.Row.Report.BytesMoved != 4*1200 {
			t.Fatalf("then the job: %+v", result.Row)
		}
	})
}

func TestDryRunOfReplayMovesNoLeaves(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.fall(10)
		if row := r.dryRun(t, walgap.Auto).Row; row.Verdict != "replay" || row.EntriesPlanned != 10 || row.LeavesTotal != 0 {
			t.Fatalf("%+v", row)
		}
	})
}

func TestDryRunBesideAnotherJobsRecordIsAnEstimate(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.held["job-9"] = true
		if row := r.dryRun(t, walgap.Auto).Row; row.Verdict != "delta" || row.PlannedBytes == 0 || row.LeavesTotal != 0 {
			t.Fatalf("%+v", row)
		}
	})
}

func TestDryRunWithoutALeaderEnds(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.leader = -1
		q := request7()
		q.DryRun = true
		began := time.Now()
		result, _ := r.once(q, nil)
		if took := time.Since(began); result.Status != Failed || took > 5*time.Second || !strings.Contains(result.Err.Error(), "no leader") {
			t.Fatalf("%+v after %v", result, took)
		}
	})
}

func TestDryRunDoesNotWaitForAWholeShardToBeHashed(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		r.faults.listing = time.Minute
		began := time.Now()
		row := r.dryRun(t, walgap.Auto).Row
		if took := time.Since(began); took > 9*time.Second || row.Verdict != "delta" || row.PlannedBytes == 0 || row.LeavesTotal != 0 {
			t.Fatalf("%+v after %v", row, took)
		}
	})
}
