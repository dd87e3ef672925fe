package syncing

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/snapshot/transfer"
	"github.com/flotilla-db/flotilla/walgap"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

func TestSlotThatAReplayTookForACopyIsGivenBack(t *testing.T) {
	s, _ := syncsOf(t, t.TempDir(), nil)
	s.table.start(nil)
	replicas := &replicas{s.config, s.table, s.slots}
	j, err := s.table.open(&job{Group: 7, Kind: api.JobResync, Trigger: triggerAsked})
	if err != nil {
		t.Fatal(err)
	}
	s.driver.look = func(context.Context, uint32, walgap.Mode, int64) (verdictAnswer, error) {
		return verdictAnswer{Verdict: walgap.Verdict{Kind: walgap.Replay, Decided: true}}, nil
	}
	s.driver.engine = engineOf(func(ctx context.Context, r resync.Request) resync.Result {
		if err := replicas.turn(ctx, r.Group, r.ID); err != nil { // as a hold would
			t.Error(err)
		}
		if s.slots.copying() != 1 {
			t.Error("it copies without a slot")
		}
		return resync.Result{Status: resync.Done, Row: resync.Row{ID: r.ID, Group: r.Group, Status: resync.Done}}
	})
	s.driver.drive(t.Context(), j)
	if row := j.row.Job(); row.Status != api.StatusDone {
		t.Errorf("%+v", row)
	}
	if s.Busy(7) {
		t.Error("the job is not over")
	}
	if n := s.slots.copying(); n != 0 {
		t.Errorf("%d slots are taken", n)
	}
}

// What the copy of a move came to is kept for the next process: the job is not over with it.
func TestEndOfAMovesCopyIsKept(t *testing.T) {
	dir := t.TempDir()
	s, _ := syncsOf(t, dir, nil)
	s.table.start(nil)
	j, err := s.table.open(&job{Group: 7, Kind: api.JobMove, Trigger: triggerMove, From: "n9"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.table.Update(resync.Row{ID: j.ID, Group: 7, Stage: resync.Fetch, Status: resync.Running, Ending: resync.Failed, Error: "no leaves"}); err != nil {
		t.Fatal(err)
	}
	if row := j.row.Job(); row.Final() {
		t.Errorf("%+v", row)
	}
	left := gatewayOf(t, dir).Jobs().Left() // what a kill would leave
	if len(left) != 1 {
		t.Fatalf("%+v", left)
	}
	var kept job
	if err := json.Unmarshal(left[0].Note, &kept); err != nil {
		t.Fatal(err)
	}
	if kept.ID != j.ID || kept.Group != 7 || kept.Kind != api.JobMove || kept.From != "n9" || kept.Ended == nil || *kept.Ended != (moveEnd{"failed", "no leaves"}) {
		t.Errorf("%s", left[0].Note)
	}
}

func TestReplicaThatWasMovedAwayWhileItsNodeWasGoneGetsNoResync(t *testing.T) {
	s, rows := syncsOf(t, t.TempDir(), nil)
	s.table.start(nil)
	if !s.watch.lookAtStart(t.Context(), 2, raftgroup.Report{Group: 2}) { // n1 holds group 1
		t.Error("it is asked about again and again")
	}
	if jobs := rows.Jobs().All(); len(jobs) != 0 {
		t.Errorf("%+v", jobs)
	}
}

func TestResyncOfManyGroupsBeginsAllOrNone(t *testing.T) {
	s, _ := syncsOf(t, t.TempDir(), nil) // which nobody drives
	s.table.queue = make(chan *job, 2)
	s.table.start(nil)
	o := gateway.ResyncOptions{Mode: api.ModeAuto}
	had, err := s.Begin(t.Context(), []uint32{1}, o)
	if err != nil {
		t.Fatal(err)
	}
	if jobs, err := s.Begin(t.Context(), []uint32{1, 2, 3}, o); err == nil || len(jobs) > 0 {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
	if j := s.table.of(1); j.stopAsked() || j.row.ID() != had[0].ID {
		t.Error("the job that ran before was cancelled")
	}
	if !s.table.of(2).stopAsked() {
		t.Error("what was begun goes on, and nobody knows")
	}
}

// Settings take effect while the node runs: the rate of copies both ways, how many copy at once, and how often one is tried.
func TestSettingsTakeEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var settings atomic.Pointer[config.Sync]
		settings.Store(&config.Sync{MaxConcurrent: 1, MaxAttempts: 3, Enabled: true})
		s, _ := syncsOf(t, t.TempDir(), func() config.Sync { return *settings.Load() })
		ctx, cancel := context.WithCancel(t.Context())
		var watched sync.WaitGroup
		watched.Go(func() { s.watch.run(ctx) })
		defer watched.Wait()
		defer cancel()
		for _, rate := range []int64{1 << 20, 0, 5 << 20} {
			synctest.Wait()
			settings.Store(&config.Sync{MaxConcurrent: 1, MaxAttempts: 3, Enabled: true, Rate: rate})
			time.Sleep(syncPoll)
			synctest.Wait()
			if in, out := s.watch.throttle.in.In.Rate(), s.watch.throttle.out.Rate(); in != float64(rate) || out != float64(rate) {
				t.Errorf("%v in and %v out, not %d", in, out, rate)
			}
		}
		settings.Store(&config.Sync{MaxConcurrent: 2, MaxAttempts: 1})
		if r := (&job{}).request(s.config.Settings()); r.MaxAttempts != 1 {
			t.Errorf("%+v", r)
		}
		if limit := s.slots.limit(); limit != 2 {
			t.Errorf("%d slots", limit)
		}
		if got := s.nudges.nudged(5); got.Takes || !strings.Contains(got.Why, "storage.sync.enabled is false") {
			t.Errorf("%+v", got)
		}
	})
}

// The lowest rate that may be asked for is the lowest that is kept to.
func TestLowestRateThatMayBeAskedForIsKeptTo(t *testing.T) {
	if gateway.MinRate != transfer.MinRate {
		t.Errorf("%d may be asked for, %d is kept to", gateway.MinRate, transfer.MinRate)
	}
}
