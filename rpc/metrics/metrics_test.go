package metrics

import (
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

type source struct{ own gateway.Own }

func (s *source) Own() gateway.Own { return s.own }

var began = time.Unix(1_000_000, 0)

func job(id, kind string, group uint32, status string) api.Job {
	return api.Job{ID: id, Kind: kind, GroupID: &group, Status: status, Attempt: 1, StartedAt: api.At(began.Add(time.Second)), LastProgressAt: api.At(began.Add(2 * time.Second))}
}

// whole is a node that has something of everything.
func whole() *source {
	lag, contact, root, rootAt, clock, eta, verdict := uint64(7), int64(250), "ab", uint64(90), int64(-30), 12.5, api.VerdictFull
	running := job("r1", api.JobResync, 42, api.StatusRunning)
	running.BytesDone, running.BytesTotal, running.Rate, running.EtaS, running.FenceMs = 250, 1000, 50, &eta, 3
	running.Sources = []api.JobSource{{Node: "n1", Bytes: 200}, {Node: "n2", Bytes: 50}}
	ended := job("r2", api.JobResync, 43, api.StatusDone)
	ended.Verdict, ended.FinishedAt, ended.PlannedBytes, ended.BytesDone, ended.FenceMs, ended.Attempt = &verdict, api.At(began.Add(9*time.Second)), 900, 1000, 4, 2
	ended.LeavesEqual, ended.LeavesMissing, ended.Sources = 6, 4, []api.JobSource{{Node: "n2", Bytes: 1000}}
	old := job("r0", api.JobResync, 44, api.StatusFailed)
	old.StartedAt, old.FinishedAt, old.Sources = api.At(began.Add(-time.Hour)), api.At(began.Add(-time.Minute)), []api.JobSource{{Node: "n9", Bytes: 5}}
	all := job("v1", api.JobVerify, 0, api.StatusQueued)
	all.GroupID = nil
	again := all
	again.ID, again.StartedAt = "v2", api.At(began.Add(3*time.Second))
	return &source{gateway.Own{
		Replicas: []gateway.ReplicaStatus{
			{Group: 42, Leader: "n1", Term: 3, CommitIndex: 100, LastProofAt: api.At(began), LastScrubAt: api.At(began), Behind: map[string]string{"n4": "no log"},
				Replica: api.Replica{Role: api.RoleLeader, State: api.ReplicaReady, AppliedIndex: 100, LogFirst: 11, LogLast: 100, Bytes: 4096, Points: 77,
					Lag: &lag, LastContactMs: &contact, Root: &root, RootIndex: &rootAt}},
			{Group: 43, Replica: api.Replica{Role: api.RoleFollower, State: api.ReplicaSyncing, LogFirst: 1}},
		},
		Jobs: []api.Job{running, ended, old, all, again}, Proofs: map[uint32]api.Time{43: api.At(began.Add(time.Minute))}, DiskFree: 1 << 30, ClockMs: &clock,
		Nodes: map[string]string{"n1": "up", "n2": "up", "n3": "down"}, Assigned: 2,
		Proving: gateway.Proving{Checked: gateway.Checked{Made: 9, Skipped: 2, Mismatches: 3, Repaired: 1, RepairsFailed: 1},
			Scrubbed: gateway.Scrubbed{ScrubBytes: 4096, ScrubParts: 5, ScrubBad: 6}, ReadsElsewhere: 7},
	}}
}

func collector(s *source) *Collector {
	return New(Config{Source: s, Node: "n1", Version: api.Version{Version: "v1", GoVersion: "go", Revision: "r"}, Since: began,
		LogBytes: func() int64 { return 123 }, Ready: func() bool { return true }, Wire: func() (sent, received uint64) { return 70, 80 }})
}

// scrape gives the lines of one answer that are Flotilla's own, comments too.
func scrape(t *testing.T, c *Collector) string {
	t.Helper()
	s := httptest.NewServer(c.Handler())
	defer s.Close()
	answer, err := s.Client().Get(s.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		t.Fatalf("%s %v\n%s", answer.Status, err, b)
	}
	return "\n" + string(b)
}

func TestAScrapeShowsTheNode(t *testing.T) {
	text := scrape(t, collector(whole()))
	for _, line := range []string{
		`flotilla_build_info{go_version="go",revision="r",version="v1"} 1`, `flotilla_node_info{node="n1"} 1`, `flotilla_ready 1`,
		`flotilla_nodes{state="up"} 2`, `flotilla_nodes{state="down"} 1`, `flotilla_nodes{state="drained"} 0`, `flotilla_node_up{node="n3"} 0`,
		`flotilla_groups_in_use 2`, `flotilla_disk_free_bytes 1.073741824e+09`, `flotilla_log_bytes 123`, `flotilla_clock_offset_seconds -0.03`,
		`flotilla_peer_sent_bytes_total 70`, `flotilla_peer_received_bytes_total 80`,
		`flotilla_replicas{state="ready"} 1`, `flotilla_replicas{state="syncing"} 1`, `flotilla_replicas{state="quarantined"} 0`, `flotilla_replica_roles{role="leader"} 1`,
		`flotilla_replica_ready{group="43"} 0`, `flotilla_replica_leads{group="42"} 1`, `flotilla_replica_leader_known{group="43"} 0`, `flotilla_replica_applied_index{group="42"} 100`,
		`flotilla_replica_lag_entries{group="42"} 7`, `flotilla_replica_log_entries{group="42"} 90`, `flotilla_replica_log_entries{group="43"} 0`,
		`flotilla_replica_bytes{group="42"} 4096`, `flotilla_replica_points{group="42"} 77`, `flotilla_replica_last_contact_seconds{group="42"} 0.25`,
		`flotilla_follower_needs_copy{group="42",node="n4"} 1`, `flotilla_replica_root_index{group="42"} 90`,
		`flotilla_group_last_proof_timestamp_seconds{group="42"} 1e+06`, `flotilla_group_last_proof_timestamp_seconds{group="43"} 1.00006e+06`,
		`flotilla_jobs{kind="resync",status="running"} 1`, `flotilla_jobs{kind="verify",status="queued"} 2`, `flotilla_jobs{kind="move",status="stalled"} 0`,
		`flotilla_job_progress_ratio{group="42",kind="resync"} 0.25`, `flotilla_job_done_bytes{group="42",kind="resync"} 250`, `flotilla_job_expected_bytes{group="42",kind="resync"} 1000`,
		`flotilla_job_rate_bytes_per_second{group="42",kind="resync"} 50`, `flotilla_job_remaining_seconds{group="42",kind="resync"} 12.5`,
		`flotilla_job_stalled{group="all",kind="verify"} 0`, `flotilla_job_fence_seconds{group="42",kind="resync"} 0.003`,
		`flotilla_jobs_ended_total{kind="resync",status="done"} 1`, `flotilla_jobs_ended_total{kind="resync",status="failed"} 0`,
		`flotilla_replica_state{group="43",state="syncing"} 1`, `flotilla_checks_total 9`, `flotilla_checks_incomplete_total 2`, `flotilla_check_mismatches_total 3`,
		`flotilla_check_repairs_total{result="repaired"} 1`, `flotilla_check_repairs_total{result="failed"} 1`, `flotilla_scrub_read_bytes_total 4096`,
		`flotilla_scrub_parts_total 5`, `flotilla_scrub_bad_total 6`, `flotilla_reads_elsewhere_total 7`, `flotilla_jobs{kind="repair",status="running"} 0`,
		`flotilla_resyncs_total{status="done",verdict="full"} 1`, `flotilla_resync_received_bytes_total{node="n1"} 200`, `flotilla_resync_received_bytes_total{node="n2"} 1050`,
		`flotilla_resync_leaves_total{result="missing"} 4`, `flotilla_resync_planned_bytes_total 900`, `flotilla_resync_moved_bytes_total 1000`, `flotilla_resync_retries_total 1`,
		`flotilla_resync_duration_seconds_count{verdict="full"} 1`, `flotilla_resync_fence_seconds_count 1`, `flotilla_resync_fence_seconds_bucket{le="0.005"} 1`,
	} {
		if !strings.Contains(text, "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	for _, never := range []string{`lag_entries{group="43"}`, `node="n9"`, "no log"} {
		if strings.Contains(text, never) {
			t.Errorf("a line with %s", never)
		}
	}
	for _, d := range descriptions {
		name, _, _ := strings.Cut(strings.TrimPrefix(d.String(), `Desc{fqName: "`), `"`)
		if !strings.Contains(text, "\n# HELP "+name+" ") {
			t.Errorf("%s has no HELP, or this test's node has none of it", name)
		}
	}
	if !strings.Contains(text, "process_resident_memory_bytes") && !strings.Contains(text, "go_goroutines") {
		t.Error("nothing of the process")
	}
	if t.Failed() {
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "flotilla_") {
				t.Log(strings.TrimSpace(line))
			}
		}
	}
}

func TestNamesFollowTheConventions(t *testing.T) {
	problems, err := testutil.CollectAndLint(collector(whole()))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestJobsAreCountedOnceAndNeverTakenBack(t *testing.T) {
	s := whole()
	c := collector(s)
	value := func(line string) bool { return strings.Contains(scrape(t, c), "\n"+line+"\n") }
	for range 3 {
		if !value(`flotilla_jobs_ended_total{kind="resync",status="done"} 1`) || !value(`flotilla_resync_received_bytes_total{node="n2"} 1050`) {
			t.Fatal("counted again")
		}
	}
	r := &s.own.Jobs[0] // it goes on, then ends
	r.Sources = []api.JobSource{{Node: "n1", Bytes: 500}, {Node: "n2", Bytes: 20}}
	if !value(`flotilla_resync_received_bytes_total{node="n1"} 500`) || !value(`flotilla_resync_received_bytes_total{node="n2"} 1050`) {
		t.Error("bytes of a job under way")
	}
	r.Status, r.FinishedAt = api.StatusFailed, api.At(began.Add(time.Minute))
	if !value(`flotilla_jobs_ended_total{kind="resync",status="failed"} 1`) || !value(`flotilla_resyncs_total{status="failed",verdict="undecided"} 1`) {
		t.Error("its end")
	}
	s.own.Jobs = nil // forgotten by the node
	if !value(`flotilla_jobs_ended_total{kind="resync",status="failed"} 1`) || !value(`flotilla_resync_received_bytes_total{node="n1"} 500`) {
		t.Error("counters fell")
	}
	if len(c.totals.seen) != 0 {
		t.Errorf("%d forgotten jobs are remembered", len(c.totals.seen))
	}
}

func TestAJobThatOutlivedItsProcessCountsWhatIsNew(t *testing.T) {
	j := job("r1", api.JobMove, 1, api.StatusRunning)
	j.StartedAt, j.Sources = api.At(began.Add(-time.Hour)), []api.JobSource{{Node: "n1", Bytes: 100}}
	s := &source{gateway.Own{Jobs: []api.Job{j}}}
	c := collector(s)
	if strings.Contains(scrape(t, c), "received_bytes_total{") {
		t.Error("the bytes of the process before are counted")
	}
	s.own.Jobs[0].Sources = []api.JobSource{{Node: "n1", Bytes: 130}}
	if !strings.Contains(scrape(t, c), `flotilla_resync_received_bytes_total{node="n1"} 30`) {
		t.Error("the bytes of this process are not counted")
	}
}

func TestAScrapeOfAllGroupsIsBounded(t *testing.T) {
	s := &source{}
	for group := range uint32(256) {
		s.own.Replicas = append(s.own.Replicas, gateway.ReplicaStatus{Group: group, Replica: api.Replica{State: api.ReplicaReady, Role: api.RoleFollower}})
		s.own.Jobs = append(s.own.Jobs, job(fmt.Sprint(group), api.JobResync, group, api.StatusQueued))
	}
	const most = 256*32 + 500
	if n := strings.Count(scrape(t, collector(s)), "\n"); n > most {
		t.Errorf("%d lines, more than %d", n, most)
	}
}
