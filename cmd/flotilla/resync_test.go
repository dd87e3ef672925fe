package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// fakeNode answers the routes of jobs. Each look at a job moves it on by one of its steps.
type fakeNode struct {
	t *testing.T
	*httptest.Server

	mu     sync.Mutex
	jobs   []*api.Job           // guarded by mu, as the rest
	steps  map[string][]api.Job // what a job becomes, look after look
	asked  []string             // requests, with their bodies
	silent string               // nodes whose jobs nobody tells of
}

func newFakeNode(t *testing.T, jobs ...api.Job) *fakeNode {
	t.Helper()
	n := &fakeNode{t: t, steps: map[string][]api.Job{}}
	for i := range jobs {
		n.jobs = append(n.jobs, &jobs[i])
	}
	n.Server = httptest.NewServer(n)
	t.Cleanup(n.Close)
	return n
}

func (n *fakeNode) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	n.asked = append(n.asked, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
	switch path := r.URL.Path; {
	case r.URL.Query().Get("dry_run") == "true":
		verdict, eta, leader, target := api.VerdictDelta, 2.5, "n1", "n3"
		_ = json.NewEncoder(w).Encode(api.Plan{Kind: api.JobResync, DryRun: true, Bytes: 1 << 20, LogEntries: 7, Groups: []api.GroupPlan{
			{GroupID: 42, Leader: &leader, Target: &target, Replicas: []api.ReplicaPlan{{Node: "n1", Action: api.PlanGive}}, Resync: &api.ResyncPlan{
				Verdict: &verdict, Reason: "the log begins at 100", Bytes: 1 << 20, Entries: 7, LeavesTotal: 16, LeavesMissing: 1, LeavesDiffering: 2, Sources: []string{"n2", "n1"}, EtaS: &eta}},
			{GroupID: 43, Replicas: []api.ReplicaPlan{}, Why: "no leader"}}})
	case path == "/v1/admin/resync":
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(api.JobList{Jobs: n.list(nil)})
	case r.Method == http.MethodPost:
		w.WriteHeader(http.StatusAccepted)
		_ = json.NewEncoder(w).Encode(n.jobs[0])
	case path == "/v1/admin/jobs":
		if n.silent != "" {
			w.Header().Set(api.SilentNodesHeader, n.silent)
		}
		n.step("")
		_ = json.NewEncoder(w).Encode(api.JobList{Jobs: n.list(r.URL.Query())})
	default:
		id := strings.TrimPrefix(path, "/v1/admin/jobs/")
		n.step(id)
		for _, j := range n.jobs {
			if j.ID == id && n.silent == "" {
				_ = json.NewEncoder(w).Encode(j)
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(api.E(api.JobNotFound, "", "job %q is not known", id).Problem)
	}
}

// list gives the jobs that a query asks for. mu is held, as in step.
func (n *fakeNode) list(q url.Values) []api.Job {
	out := []api.Job{}
	for _, j := range n.jobs {
		if s := q.Get("status"); n.silent == "" && (s == "" || strings.Contains(s, j.Status)) {
			out = append(out, *j)
		}
	}
	return out
}

func (n *fakeNode) step(id string) {
	for _, j := range n.jobs {
		if next := n.steps[j.ID]; len(next) > 0 && (id == "" || id == j.ID) {
			*j, n.steps[j.ID] = next[0], next[1:]
		}
	}
}

// run carries out a command line against the node.
func (n *fakeNode) run(words ...string) (code int, out, errs string) {
	n.t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(n.t.Context(), append(words, "--addr", n.URL), streams{in: strings.NewReader(""), out: &stdout, err: &stderr})
	return code, stdout.String(), stderr.String()
}

// copyJob is a resync of n3 in a state.
func copyJob(group uint32, status string) api.Job {
	target, verdict, mode, reason := "n3", api.VerdictDelta, api.ModeAuto, "the log begins at 100"
	j := api.Job{ID: fmt.Sprintf("resync-n3-%d", group), Kind: api.JobResync, GroupID: &group, Target: &target, Mode: &mode, Verdict: &verdict, Reason: &reason,
		Sources: []api.JobSource{}, PlannedBytes: 1 << 20, PlannedS: 2, Attempt: 1, StartedAt: api.At(time.Unix(100, 0)), Status: status}
	stage, eta := "fetch", 3.0
	switch status {
	case api.StatusRunning:
		j.Stage, j.BytesDone, j.BytesTotal, j.Rate, j.EtaS = &stage, 1<<19, 1<<20, 1<<18, &eta
	case api.StatusDone:
		j.BytesDone, j.BytesTotal, j.FenceMs, j.FinishedAt = 1<<20, 1<<20, 3.25, api.At(time.Unix(104, 0))
		j.Sources = []api.JobSource{{Node: "n1", Bytes: 1 << 18}, {Node: "n2", Bytes: 3 << 18}}
		j.QueuedS = 1.5
		j.LeavesTotal, j.LeavesEqual, j.LeavesDiffering = 16, 13, 3
	case api.StatusFailed:
		text := "no proof after 3 attempts"
		j.Error, j.FinishedAt = &text, api.At(time.Unix(103, 0))
	}
	return j
}

func TestResyncOfOneGroupWaitsAndShowsPlanAgainstActual(t *testing.T) {
	n := newFakeNode(t, copyJob(42, api.StatusQueued))
	n.steps["resync-n3-42"] = []api.Job{copyJob(42, api.StatusRunning), copyJob(42, api.StatusDone)}
	code, out, errs := n.run("resync", "42", "--target", "n3", "--rate", "64MiB", "--leader-share", "25%", "--max-pause", "20ms")
	if code != exitOK || errs != "" {
		t.Errorf("code %d, %s", code, errs)
	}
	if want := `POST /v1/admin/groups/42/resync {"from":"","leader_share":0.25,"max_pause":"20ms","mode":"auto","rate":67108864,"target":"n3"}`; n.asked[0] != want {
		t.Errorf("asked %s\nwant  %s", n.asked[0], want)
	}
	for _, want := range []string{"resync-n3-42", "done", "verdict", "delta", "1.00 MiB  1.00 MiB", "2s        2.5s", "waited for its turn      -         1.5s", "13 equal, 0 missing, 3 differing", "n2 768 KiB, n1 256 KiB", "3ms"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var job api.Job
	if code, out, _ = n.run("resync", "42", "--target", "n3", "-o", "json"); code != exitOK || json.Unmarshal([]byte(out), &job) != nil || job.Status != api.StatusDone || len(job.Sources) != 2 {
		t.Errorf("json: %d %s", code, out)
	}
}

func TestResyncOfManyGroupsTellsWhichFailed(t *testing.T) {
	var queued []api.Job
	for group := range uint32(6) {
		queued = append(queued, copyJob(group, api.StatusQueued))
	}
	n := newFakeNode(t, queued...)
	for group := range uint32(6) {
		end := api.StatusDone
		if group == 4 {
			end = api.StatusFailed
		}
		n.steps[queued[group].ID] = []api.Job{copyJob(group, api.StatusRunning), copyJob(group, end)}
	}
	code, out, errs := n.run("resync", "--all", "--target", "n3", "-o", "json")
	var list api.JobList
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list.Jobs) != 6 || code != exitPartial {
		t.Errorf("code %d, %v: %s", code, err, out)
	}
	for i := range list.Jobs {
		if !list.Jobs[i].Final() {
			t.Errorf("%s has not ended", list.Jobs[i].ID)
		}
	}
	if !strings.Contains(errs, "1 of 6 resyncs did not end well:") || !strings.Contains(errs, "group 4: failed: no proof after 3 attempts") {
		t.Errorf("stderr %q", errs)
	}
	if strings.Contains(n.asked[0], `"groups":null`) || !strings.Contains(n.asked[0], `"groups":[]`) {
		t.Errorf("asked %s", n.asked[0])
	}
	_, out, _ = n.run("resync", "1", "2", "--target", "n3")
	if !strings.Contains(out, "6 resyncs: 5 done, 1 failed; 5.00 MiB moved (6.00 MiB planned) in 4s, longest pause of writes 3ms") {
		t.Errorf("table\n%s", out)
	}
}

func TestResyncsThatAllFailAreNotPartial(t *testing.T) {
	n := newFakeNode(t, copyJob(1, api.StatusFailed), copyJob(2, api.StatusCancelled))
	if code, _, errs := n.run("resync", "--all", "--target", "n3"); code != exitError || !strings.Contains(errs, "2 of 2") {
		t.Errorf("%d %s", code, errs)
	}
	failed := copyJob(1, api.StatusFailed)
	leaderless := api.NoLeader
	failed.Code = &leaderless
	n = newFakeNode(t, failed)
	if code, out, errs := n.run("resync", "1", "--target", "n3"); code != exitNoLeader || !strings.Contains(errs, "no proof") || !strings.Contains(out, "failed") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	n = newFakeNode(t)
	if code, out, errs := n.run("resync", "--all", "--target", "n3"); code != exitOK || !strings.Contains(out, "0 resyncs") {
		t.Errorf("nothing to do: %d %s %s", code, out, errs)
	}
}

func TestDetachedResyncsAreNotWaitedFor(t *testing.T) {
	n := newFakeNode(t, copyJob(1, api.StatusQueued), copyJob(2, api.StatusQueued))
	code, out, _ := n.run("resync", "--all", "--target", "n3", "--detach", "-o", "json")
	if code != exitOK || strings.Count(out, `"status":"queued"`) != 2 || len(n.asked) != 1 {
		t.Errorf("%d, asked %v: %s", code, n.asked, out)
	}
	if code, out, _ = n.run("resync", "--all", "--target", "n3", "--detach"); code != exitOK || !strings.Contains(out, "2 resyncs: 0 done, 0 failed, 2 go on") {
		t.Errorf("%d %s", code, out)
	}
	if code, out, _ = n.run("group", "move", "1", "--from", "n1", "--to", "n3", "--detach", "-o", "name"); code != exitOK || out != "resync-n3-1\n" {
		t.Errorf("%d %s", code, out)
	}
}

func TestAJobWhoseNodeIsAwayIsWaitedFor(t *testing.T) {
	n := newFakeNode(t, copyJob(42, api.StatusRunning))
	n.silent = "n3"
	back := time.AfterFunc(300*time.Millisecond, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.silent = ""
		*n.jobs[0] = copyJob(42, api.StatusDone)
	})
	defer back.Stop()
	if code, out, errs := n.run("resync", "42", "--target", "n3"); code != exitOK || !strings.Contains(out, "done") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	n = newFakeNode(t, copyJob(42, api.StatusRunning))
	n.silent = "n1" // n3 answers, and does not know it
	if code, _, errs := n.run("resync", "42", "--target", "n3"); code != exitError || !strings.Contains(errs, "not known") {
		t.Errorf("%d %s", code, errs)
	}
}

func TestPlanOfAResyncSaysWhatAndWhy(t *testing.T) {
	n := newFakeNode(t)
	code, out, errs := n.run("resync", "42", "43", "--target", "n3", "--dry-run")
	if code != exitPartial || !strings.Contains(errs, "as things stand, 1 of 2 groups would fail or wait:\n  group 43: no leader") || !strings.HasPrefix(n.asked[0], "POST /v1/admin/resync?dry_run=true ") {
		t.Errorf("%d %s %v", code, errs, n.asked)
	}
	for _, want := range []string{"delta", "1.00 MiB", "3 of 16", "n2, n1", "2.5s", "the log begins at 100", "no leader",
		"plan of a resync: 2 groups, 1.00 MiB to move, 7 log entries to replay, 3 leaves to copy, ETA 2.5s one after the other; 1 would fail or wait as things stand; nothing was done"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if code, out, _ = n.run("resync", "42", "--target", "n3", "--dry-run", "-o", "json"); code != exitPartial || !strings.Contains(out, `"dry_run":true`) {
		t.Errorf("%d %s", code, out)
	}
}

func TestJobIsWatchedToItsEnd(t *testing.T) {
	n := newFakeNode(t, copyJob(42, api.StatusRunning))
	n.steps["resync-n3-42"] = []api.Job{copyJob(42, api.StatusRunning), copyJob(42, api.StatusRunning), copyJob(42, api.StatusDone)}
	if code, out, errs := n.run("job", "resync-n3-42", "--watch"); code != exitOK || !strings.Contains(out, "done") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if code, out, _ := n.run("jobs", "--kind", "resync", "--status", "done,failed", "--group", "42", "--target", "n3", "-o", "csv"); code != exitOK ||
		!strings.HasPrefix(out, "id,kind,group_id,target,mode,verdict,reason,stage,sources,planned_bytes,planned_s,bytes_done,bytes_total,leaves_total") {
		t.Errorf("%d %s", code, out)
	}
	if asked := n.asked[len(n.asked)-1]; asked != "GET /v1/admin/jobs?group=42&kind=resync&limit=10000&status=done%2Cfailed&target=n3" {
		t.Error(asked)
	}
}

// A dry run ends with the code that the command would end with.
func TestDryRunEndsAsTheCommandWould(t *testing.T) {
	verdict, by, group := api.VerdictDelta, "no leader", uint32(7)
	good := api.GroupPlan{GroupID: 1, Resync: &api.ResyncPlan{Verdict: &verdict}}
	fails := api.GroupPlan{GroupID: group, Why: "n3 holds no ready replica"}
	waits := api.GroupPlan{GroupID: group, Resync: &api.ResyncPlan{BlockedBy: &by}}
	for _, tt := range []struct {
		kind   string
		groups []api.GroupPlan
		code   int
		text   string
	}{
		{api.JobResync, []api.GroupPlan{good}, exitOK, ""},
		{api.JobResync, nil, exitOK, ""},
		{api.JobResync, []api.GroupPlan{fails}, exitError, "group 7: n3 holds no ready replica"},
		{api.JobMove, []api.GroupPlan{waits}, exitNoLeader, "group 7 would wait: no leader"},
		{api.JobResync, []api.GroupPlan{fails, waits}, exitError, "2 of 2 groups would fail or wait:"},
		{api.JobResync, []api.GroupPlan{good, waits}, exitPartial, "1 of 2 groups would fail or wait:"},
		{api.JobVerify, []api.GroupPlan{fails}, exitPartial, "group 7"},
	} {
		err := planOutcome(&api.Plan{Kind: tt.kind, Groups: tt.groups})
		code, text := exitOK, ""
		if err != nil {
			code, text = exitCode(t.Context(), err), err.Error()
		}
		if code != tt.code || !strings.Contains(text, tt.text) || tt.text == "" && text != "" {
			t.Errorf("%s of %d groups: %d, %q", tt.kind, len(tt.groups), code, text)
		}
	}
}
