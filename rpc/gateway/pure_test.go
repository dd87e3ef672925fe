package gateway

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

func TestSplitKeepsEveryPointOnceInItsGroup(t *testing.T) {
	var points []storage.Point
	for i := range 1000 {
		points = append(points, storage.Point{Series: storage.Series{Database: "d", Collection: "c", Device: fmt.Sprint(i % 333)}, Time: int64(i),
			Fields: []storage.Field{{Name: "v", Value: blocks.Int(int64(i))}}})
	}
	for _, max := range []int{1 << 19, 200} { // one part a group; several
		seen := map[int64]int{}
		rounds := split(points, 16, max)
		for round, parts := range rounds {
			groups := map[uint32]bool{}
			for _, p := range parts {
				if groups[p.group] {
					t.Fatalf("round %d has group %d twice", round, p.group)
				}
				groups[p.group] = true
				last := map[string]int64{}
				for c, err := range storage.DecodeCommands(p.frames) {
					if err != nil {
						t.Fatal(err)
					}
					got, err := c.Points()
					if err != nil {
						t.Fatal(err)
					}
					for _, q := range got {
						if g := storage.GroupOf(q.Database, q.Collection, q.Device, 16); g != p.group {
							t.Fatalf("%s of group %d in a part of group %d", q.Device, g, p.group)
						}
						if before, ok := last[q.Device]; ok && before >= q.Time {
							t.Fatalf("%s: %d behind %d", q.Device, q.Time, before)
						}
						last[q.Device] = q.Time
						seen[q.Time]++
					}
				}
			}
		}
		if len(seen) != 1000 || max == 200 && len(rounds) < 2 {
			t.Fatalf("%d points in %d rounds", len(seen), len(rounds))
		}
	}
}

func TestFramesOfOneWriteNeverShareMemoryWithAnother(t *testing.T) {
	p := []storage.Point{{Series: storage.Series{Database: "d", Collection: "c", Device: "x"}, Fields: []storage.Field{{Name: "v", Value: blocks.Int(1)}}}}
	first := split(p, 16, 1<<19)[0][0].frames
	before := bytes.Clone(first)
	p[0].Fields[0].Value = blocks.Int(2)
	split(p, 16, 1<<19)
	if !bytes.Equal(first, before) {
		t.Fatal("the log's bytes were overwritten by a later write")
	}
}

func TestPartsAndOutcomesRoundTrip(t *testing.T) {
	parts := []*part{{group: 1, frames: []byte("abc"), outcome: applied}, {group: 255, frames: []byte{0}, outcome: notLeader, leader: "n2", err: fmt.Errorf("x")}}
	var back []*part
	if err := readParts(appendParts(nil, parts), func(g uint32, f []byte) { back = append(back, &part{group: g, frames: f}) }); err != nil {
		t.Fatal(err)
	}
	for i := range parts {
		if back[i].group != parts[i].group || !bytes.Equal(back[i].frames, parts[i].frames) {
			t.Fatalf("part %d: %+v", i, back[i])
		}
	}
	if n := len(appendParts(nil, parts)); n > partsSize(parts) {
		t.Fatalf("%d bytes, bound %d", n, partsSize(parts))
	}
	reply := appendOutcomes(nil, parts)
	if err := readOutcomes(reply, 2, func(i int, o outcome, leader, _ string) {
		if o != parts[i].outcome || leader != parts[i].leader {
			t.Fatalf("outcome %d: %d %q", i, o, leader)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if readOutcomes(reply, 1, func(int, outcome, string, string) {}) == nil {
		t.Fatal("a reply with another number of outcomes was taken")
	}
}

func FuzzReadParts(f *testing.F) {
	f.Add(appendParts(nil, []*part{{group: 7, frames: []byte("abc")}}))
	f.Add([]byte{1, 255, 255, 3, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		var parts []*part
		if err := readParts(b, func(g uint32, frames []byte) { parts = append(parts, &part{group: g, frames: frames}) }); err != nil {
			return
		}
		var again []*part
		if err := readParts(appendParts(nil, parts), func(g uint32, frames []byte) { again = append(again, &part{group: g, frames: frames}) }); err != nil || len(again) != len(parts) {
			t.Fatalf("%d parts, then %d: %v", len(parts), len(again), err)
		}
	})
}

func FuzzReadOutcomes(f *testing.F) {
	f.Add(appendOutcomes(nil, []*part{{outcome: notLeader, leader: "n2"}}), 1)
	f.Fuzz(func(t *testing.T, b []byte, n int) {
		if n < 0 || n > 100 {
			return
		}
		count := 0
		err := readOutcomes(b, n, func(_ int, o outcome, _, _ string) {
			if count++; o == pending || o >= outcomeEnd {
				t.Fatalf("outcome %d", o)
			}
		})
		if err == nil && count != n {
			t.Fatalf("%d outcomes of %d", count, n)
		}
	})
}

func TestLeaderSaysWhyAFollowerIsBehind(t *testing.T) {
	a := membership.Assignment{Group: 7, Primary: "n1", Replicas: []string{"n2", "n3"}}
	report := func(role, state string, term uint64, behind map[string]string) nodeReport {
		return nodeReport{Replicas: []ReplicaStatus{{Group: 7, Term: term, Behind: behind, Replica: api.Replica{Role: role, State: state}}}}
	}
	reports := map[string]nodeReport{
		"n1": report(api.RoleLeader, api.ReplicaReady, 4, map[string]string{"n2": "needs a resync", "n3": "needs a resync"}),
		"n2": report(api.RoleFollower, api.ReplicaReady, 4, nil),
		"n3": report(api.RoleFollower, api.ReplicaQuarantined, 4, nil),
	}
	row := groupRow(a, reports)
	if r := row.Replicas[1]; r.Why != "needs a resync" || r.State != api.ReplicaSyncing || row.Healthy() {
		t.Errorf("%+v", r)
	}
	if r := row.Replicas[2]; r.Why != "" || r.State != api.ReplicaQuarantined {
		t.Errorf("what a replica says of itself is worse and stays: %+v", r)
	}
	waits := report(api.RoleLearner, api.ReplicaSyncing, 4, nil)
	waits.Replicas[0].Replica.Why = "log is missing"
	reports["n2"] = waits
	if r := groupRow(a, reports).Replicas[1]; r.Why != "needs a resync (log is missing)" || r.State != api.ReplicaSyncing {
		t.Errorf("what both know of one that waits: %+v", r)
	}
	reports["n2"] = report(api.RoleLeader, api.ReplicaReady, 5, nil)
	if row = groupRow(a, reports); row.Replicas[1].Why != "" {
		t.Errorf("a deposed leader is believed: %+v", row.Replicas[1])
	}
}

func TestRetainedKeepsADayAndAtLeast2000(t *testing.T) {
	now := time.Unix(1_000_000_000, 0)
	job := func(i int, age time.Duration, status string) api.Job {
		at := api.At(now.Add(-age))
		return api.Job{ID: fmt.Sprint(i), StartedAt: at, FinishedAt: at, Status: status}
	}
	var jobs []api.Job
	for i := range 3000 {
		jobs = append(jobs, job(i, 48*time.Hour, api.StatusDone))
	}
	if n := len(retained(jobs, now)); n != 2000 {
		t.Fatalf("%d old jobs are kept, want 2000", n)
	}
	for i := range 2500 {
		jobs = append(jobs, job(3000+i, time.Hour, api.StatusDone))
	}
	jobs = append(jobs, job(9999, 72*time.Hour, api.StatusRunning))
	if n := len(retained(jobs, now)); n != 2501 {
		t.Fatalf("%d jobs are kept, want the 2500 of today and the one that runs", n)
	}
}

// A group that no replica can lead any more says so, and what a person can do.
func TestWhyNoLeader(t *testing.T) {
	lag := uint64(0)
	ready := api.Replica{State: api.ReplicaReady, Lag: &lag}
	behind := api.Replica{State: api.ReplicaSyncing, Lag: &lag}
	quarantined := api.Replica{State: api.ReplicaQuarantined, Why: "shard is damaged"}
	learner := api.Replica{State: api.ReplicaSyncing, Role: api.RoleLearner, Lag: &lag, Why: "log is missing"}
	offline := api.Replica{State: api.ReplicaOffline}
	for _, tt := range []struct {
		replicas []api.Replica
		want     string
	}{
		{[]api.Replica{quarantined}, "its only replica cannot lead: shard is damaged" + hintQuarantined},
		{[]api.Replica{learner}, "its only replica cannot lead: log is missing"},
		{[]api.Replica{offline}, "0 of 1 replicas answer: no quorum"},
		{[]api.Replica{ready}, "1 of 1 replicas answer, and none of them leads yet"},
		{[]api.Replica{quarantined, learner, quarantined}, "none of its 3 replicas can lead, each says why (hint: with its node down, put the data directory of one back from a backup)"},
		{[]api.Replica{quarantined, learner, offline}, "1 of 3 replicas answer: no quorum"},
		{[]api.Replica{quarantined, learner, behind}, "2 of 3 replicas answer, and none of them leads yet"},
	} {
		a := membership.Assignment{}
		for i := range tt.replicas {
			node := string(rune('a' + i))
			tt.replicas[i].Node = node
			if i == 0 {
				a.Primary = node
			} else {
				a.Replicas = append(a.Replicas, node)
			}
		}
		if why := whyNoLeader(tt.replicas, a); why != tt.want {
			t.Errorf("%q, want %q", why, tt.want)
		}
	}
}
