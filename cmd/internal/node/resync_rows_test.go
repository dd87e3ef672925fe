package node

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/snapshot/transfer"
	"github.com/flotilla-db/flotilla/walgap"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// lone is a node with one group that holds a point, and that group.
func lone(t *testing.T, dir string, o Options) (*Node, uint32) {
	t.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	n, err := Start(settingsOf(t, "n1", dir), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	awaitReady(t, n)
	if _, err := patientSDK(t, n).Write(t.Context(), []client.Point{pointOf("x", 5, 1.5)}); err != nil {
		t.Fatal(err)
	}
	return n, n.Groups().Groups()[0].ID()
}

func TestSlotThatAReplayTookForACopyIsGivenBack(t *testing.T) {
	var n *Node
	took := make(chan error, 1)
	var group uint32
	n, group = lone(t, t.TempDir(), Options{SyncHooks: resync.Hooks{Step: func(job string, s resync.Stage, point string) {
		if s == resync.Promote && point == "watching" { // as a hold would
			took <- syncReplica{syncs: n.syncs, group: n.Groups().Groups()[0]}.Turn(t.Context(), job)
		}
	}}})
	await(t, n, "no resync can begin", func() bool {
		_, err := n.syncs.open(&syncJob{Group: group, Kind: api.JobResync, Trigger: triggerAsked})
		return err == nil
	})
	if err := <-took; err != nil {
		t.Fatal(err)
	}
	for _, j := range awaitJobs(t, n, 1) {
		if j.Status != api.StatusDone {
			t.Errorf("%+v", j)
		}
	}
	await(t, n, "the job is not over", func() bool { return n.syncs.jobOf(group) == nil })
	n.syncs.slots.mu.Lock()
	defer n.syncs.slots.mu.Unlock()
	if len(n.syncs.slots.taken) != 0 {
		t.Errorf("slots %v are taken", n.syncs.slots.taken)
	}
}

func TestRowThatWasFinalStaysSoWhereItsStagingWasLeft(t *testing.T) {
	dir := t.TempDir()
	n, group := lone(t, dir, Options{})
	const id = "5e0f9c57-0000-4000-8000-000000000001"
	row, err := n.gateway.Jobs().Open(api.Job{ID: "move-n1-" + id, Kind: api.JobMove, GroupID: &group}, nil, func() {})
	if err != nil {
		t.Fatal(err)
	}
	row.End(api.StatusFailed, func(*api.Job) {})
	staging := n.syncs.stagingDir(group)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(staging, 0o755); err != nil {
		t.Fatal(err)
	}
	state := fmt.Sprintf(`{"version":1,"attempt":1,"ending":"failed","error":"x","request":{"id":%q,"group":%d}}`, id, group)
	if err := os.WriteFile(filepath.Join(staging, "job.json"), []byte(state), 0o644); err != nil {
		t.Fatal(err)
	}
	again, _ := lone(t, dir, Options{})
	await(t, again, "the staging is left", func() bool {
		_, err := os.Stat(staging)
		return os.IsNotExist(err)
	})
	jobs := jobsOn(t, again)
	if len(jobs) != 1 || !jobs[0].Final() || !jobs[0].FinishedAt.Equal(row.Job().FinishedAt.Time) {
		t.Errorf("%+v", jobs)
	}
}

func TestMoveIsNotOverWhenItsCopyIs(t *testing.T) {
	dir := t.TempDir()
	n, group := lone(t, dir, Options{})
	j := &syncJob{ID: "5e0f9c57-0000-4000-8000-000000000002", Group: group, Kind: api.JobMove, Trigger: triggerMove, From: "n9"}
	var err error
	if j.row, err = n.gateway.Jobs().Open(api.Job{ID: "move-n1-" + j.ID, Kind: api.JobMove, GroupID: &group}, json.RawMessage(`{}`), func() {}); err != nil {
		t.Fatal(err)
	}
	n.syncs.mu.Lock()
	n.syncs.jobs[group] = j
	n.syncs.mu.Unlock()
	if err := n.syncs.Update(resync.Row{ID: j.ID, Group: group, Stage: resync.Fetch, Status: resync.Running, Ending: resync.Failed, Error: "no leaves"}); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(filepath.Join(dir, jobsFile)) // what a kill would leave
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, jobsFile), kept, 0o600); err != nil {
		t.Fatal(err)
	}
	again, _ := lone(t, dir, Options{})
	for _, j := range awaitJobs(t, again, 1) {
		if why := deref(j.Error); j.Kind != api.JobMove || j.Status != api.StatusFailed || !strings.Contains(why, "no leaves") || !strings.Contains(why, "votes already") {
			t.Errorf("%+v: %s", j, why)
		}
	}
}

func TestRateOfCopiesFollowsItsSetting(t *testing.T) {
	n, _ := lone(t, t.TempDir(), Options{})
	for _, rate := range []int64{1 << 20, 0, 5 << 20} {
		n.syncs.setRate(rate)
		if in, out := n.syncs.in.In.Rate(), n.syncs.out.Rate(); in != float64(rate) || out != float64(rate) {
			t.Errorf("%v in and %v out, not %d", in, out, rate)
		}
	}
}

func TestReplicaThatWasMovedAwayWhileItsNodeWasGoneGetsNoResync(t *testing.T) {
	n, group := lone(t, t.TempDir(), Options{})
	g, _ := n.Groups().Group(group)
	report, err := g.Report()
	if err != nil {
		t.Fatal(err)
	}
	report.Group = group%8 + 1 // of the eight, one that nobody assigned to this node
	if n.dir.Table().Assignments[report.Group].Holds("n1") {
		t.Fatalf("group %d is assigned", report.Group)
	}
	if !n.syncs.lookAtStart(t.Context(), report.Group, report) {
		t.Error("it is asked about again and again")
	}
	if jobs := jobsOn(t, n); len(jobs) != 0 {
		t.Errorf("%+v", jobs)
	}
}

func TestWhatIsWrittenAfterAStartWasNotMissed(t *testing.T) {
	leader := walgap.Leader{First: 1, Last: 90, Terms: []walgap.TermRun{{First: 1, Term: 2}, {First: 41, Term: 3}, {First: 49, Term: 4}, {First: 51, Term: 5}}}
	for _, tt := range []struct {
		last        uint64
		ledFor, ago time.Duration
		want        bool
	}{
		{50, time.Second, 2 * time.Second, true},
		{50, 2 * time.Second, time.Second, false}, // it was led while the replica was away
		{49, time.Second, 2 * time.Second, false}, // it has half of a term that no leader begins with
		{48, time.Second, 2 * time.Second, true},  // somebody led for a moment
		{40, time.Second, 2 * time.Second, false}, // entries of before are missing
		{50, 0, 2 * time.Second, false},
		{50, time.Second, 0, false}, // a report of now
	} {
		if got := writtenSince(leader, tt.ledFor, walgap.Target{First: 1, Last: tt.last}, tt.ago); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
	leader.Last = 52
	if target := (walgap.Target{First: 1, Last: 48}); !onlyElection(leader, target) {
		t.Error("two elections in a row are taken for writes")
	}
	if leader.Last++; onlyElection(leader, walgap.Target{First: 1, Last: 50}) {
		t.Error("a write is taken for an election")
	}
}

func TestResyncOfManyGroupsBeginsAllOrNone(t *testing.T) {
	n, _ := lone(t, t.TempDir(), Options{})
	m := newResyncs(n) // which nobody drives
	m.running, m.queue = true, make(chan *syncJob, 2)
	close(m.up)
	o := gateway.ResyncOptions{Mode: api.ModeAuto}
	had, err := m.Begin(t.Context(), []uint32{1}, o)
	if err != nil {
		t.Fatal(err)
	}
	if jobs, err := m.Begin(t.Context(), []uint32{1, 2, 3}, o); err == nil || len(jobs) > 0 {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
	if m.jobOf(1).stopAsked() || m.jobOf(1).row.ID() != had[0].ID {
		t.Error("the job that ran before was cancelled")
	}
	if !m.jobOf(2).stopAsked() {
		t.Error("what was begun goes on, and nobody knows")
	}
}

func TestRateIsOfWhatIsUnderWay(t *testing.T) {
	eta := 3.5
	r := resync.Row{Status: resync.Running, Rate: 1e6, EtaS: &eta}
	var j api.Job
	if showRow(&j, r); j.Rate != 1e6 || j.EtaS == nil {
		t.Errorf("%+v", j)
	}
	r.Status = resync.Done
	if showRow(&j, r); j.Rate != 0 || j.EtaS != nil {
		t.Errorf("%+v", j)
	}
}

// The lowest rate that may be asked for is the lowest that is kept to.
func TestLowestRateThatMayBeAskedForIsKeptTo(t *testing.T) {
	if gateway.MinRate != transfer.MinRate {
		t.Errorf("%d may be asked for, %d is kept to", gateway.MinRate, transfer.MinRate)
	}
}
