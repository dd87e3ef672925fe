package gateway

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

func openedJobs(t *testing.T, path string) *Jobs {
	t.Helper()
	js, err := openJobs(path, "n1", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func openRow(t *testing.T, js *Jobs, group uint32, cancel func()) *Row {
	t.Helper()
	r, err := js.Open(api.Job{Kind: api.JobResync, GroupID: &group}, json.RawMessage(fmt.Sprintf(`{"group":%d}`, group)), cancel)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestProgressOfManyJobsCostsTheFileNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	js := openedJobs(t, path)
	var rows []*Row
	for group := range uint32(256) {
		rows = append(rows, openRow(t, js, group, func() {}))
	}
	before := size(t, path)
	for tick := range 100 {
		for _, r := range rows {
			r.Progress(func(j *api.Job) { j.BytesDone = int64(tick) })
		}
	}
	if after := size(t, path); after != before {
		t.Errorf("the file grew from %d to %d bytes", before, after)
	}
	if got := rows[7].Job(); got.BytesDone != 99 || got.Status != api.StatusQueued {
		t.Errorf("%+v", got)
	}
	if err := js.close(); err != nil {
		t.Fatal(err)
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestDrivenJobGoesOnInTheNextProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	js := openedJobs(t, path)
	open, ended, ending := openRow(t, js, 1, func() {}), openRow(t, js, 2, func() {}), openRow(t, js, 3, func() {})
	open.Progress(func(j *api.Job) { j.Status, j.BytesDone = api.StatusRunning, 42 })
	ended.End(api.StatusDone, func(*api.Job) {})
	if err := ending.Ending(api.StatusFailed, func(*api.Job) {}); err != nil {
		t.Fatal(err)
	}
	if got := ending.Job(); got.Final() {
		t.Errorf("it is final before its end: %+v", got)
	}
	crashed, err := os.ReadFile(path) // as kill -9 leaves it
	if err != nil {
		t.Fatal(err)
	}
	if err := js.close(); err != nil {
		t.Fatal(err)
	}

	next := openedJobs(t, path)
	left := next.Left()
	if len(left) != 2 || left[0].ID != open.ID() || string(left[0].Note) != `{"group":1}` {
		t.Fatalf("left: %+v", left)
	}
	if j := left[0]; j.Status != api.StatusQueued || j.BlockedBy == nil || j.BytesDone != 42 {
		t.Errorf("until it is taken up: %+v", j)
	}
	again, err := next.Open(left[0].Job, left[0].Note, func() {})
	if err != nil || again.ID() != open.ID() || len(next.Left()) != 1 {
		t.Fatalf("%v, %v, left %v", again, err, next.Left())
	}
	again.End(api.StatusDone, func(*api.Job) {})
	again.End(api.StatusFailed, func(*api.Job) {}) // ignored
	if got := again.Job(); got.Status != api.StatusDone {
		t.Errorf("%+v", got)
	}
	if err := next.close(); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(path, crashed, 0o600); err != nil {
		t.Fatal(err)
	}
	last := openedJobs(t, path)
	for _, j := range last.list(ending.ID()) {
		if j.Status != api.StatusFailed {
			t.Errorf("killed after its ending was written down: %+v", j)
		}
	}
	if left := last.Left(); len(left) != 1 || left[0].ID != open.ID() {
		t.Errorf("left: %+v", left)
	}
	if err := last.close(); err != nil {
		t.Fatal(err)
	}
}

func TestCancelReachesWhoDrivesTheJob(t *testing.T) {
	js := openedJobs(t, "")
	asked := 0
	r := openRow(t, js, 1, func() { asked++ })
	for try := range 2 {
		if !js.cancel(r.ID()) || asked != try+1 {
			t.Fatalf("asked %d times", asked)
		}
	}
	if got := js.byGroup(); got[1] != r.ID() {
		t.Errorf("%v", got)
	}
	r.End(api.StatusCancelled, func(*api.Job) {})
	if !js.cancel(r.ID()) || asked != 2 || len(js.byGroup()) != 0 {
		t.Errorf("asked %d times, running %v: it has ended", asked, js.byGroup())
	}
}

func TestStalledJobRunsAgainWithItsProgress(t *testing.T) {
	js := openedJobs(t, "")
	r := openRow(t, js, 1, func() {})
	by := "nothing comes"
	r.Change(func(j *api.Job) { j.Status, j.BlockedBy = api.StatusStalled, &by })
	r.Progress(func(*api.Job) {})
	if got := r.Job(); got.Status != api.StatusRunning || got.BlockedBy != nil {
		t.Errorf("%+v", got)
	}
}

// A line that nobody would read costs itself, and not the node its start.
func TestLineThatIsTooLongIsPassedOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jobs.jsonl")
	line := func(id, padding string) string {
		return fmt.Sprintf(`{"id":%q,"kind":"verify","status":"done","reason":%q}`, id, padding)
	}
	huge := strings.Repeat("x", maxJobLine)
	text := line("first", "") + "\n" + line("huge", huge) + "\n" + line("wide", huge[:2*jobReadSize]) + "\n\n" + line("last", "")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	js := openedJobs(t, path)
	for id, want := range map[string]bool{"first": true, "huge": false, "wide": true, "last": true} {
		if got := len(js.list(id)) == 1; got != want {
			t.Errorf("job %s: known %v, want %v", id, got, want)
		}
	}
	if err := js.close(); err != nil {
		t.Fatal(err)
	}
}

// What a job keeps of a check is bounded, over all groups; how much was found is told.
func TestFindingsOfAVerifyAreBounded(t *testing.T) {
	var result api.VerifyResult
	report := antientropy.Report{Damaged: true, FindingsTotal: 5000, Findings: make([]antientropy.Finding, antientropy.MaxFindings)}
	const groups = 256
	for range groups {
		addReport(&result, &report)
	}
	if len(result.Findings) != maxVerifyFindings || result.FindingsTotal != groups*5000 || result.GroupsDamaged != groups {
		t.Errorf("%d of %d findings of %d groups", len(result.Findings), result.FindingsTotal, result.GroupsDamaged)
	}
}

// The wait for a turn is counted apart, over turns that are given back, and while it lasts.
func TestWaitForATurnIsCountedApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		js, err := openJobs("", "n1", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		row, err := js.Open(api.Job{Kind: api.JobResync}, nil, func() {})
		if err != nil {
			t.Fatal(err)
		}
		status := func(s string) { row.Change(func(j *api.Job) { j.Status = s }) }
		time.Sleep(3 * time.Second)
		if got := js.list("")[0].QueuedS; got != 3 || row.Job().QueuedS != 3 {
			t.Errorf("while it waits: %v s", got)
		}
		status(api.StatusRunning)
		time.Sleep(10 * time.Second)
		status(api.StatusQueued)
		time.Sleep(time.Second)
		status(api.StatusRunning)
		time.Sleep(time.Second)
		if row.End(api.StatusDone, func(*api.Job) {}); row.Job().QueuedS != 4 || len(js.queued) != 0 {
			t.Errorf("at its end: %v s", row.Job().QueuedS)
		}
	})
}
