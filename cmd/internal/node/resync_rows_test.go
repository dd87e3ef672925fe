package node

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
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

func TestRowThatWasFinalStaysSoWhereItsStagingWasLeft(t *testing.T) {
	dir := t.TempDir()
	n, group := lone(t, dir, Options{})
	const id = "5e0f9c57-0000-4000-8000-000000000001"
	row, err := n.gateway.Jobs().Open(api.Job{ID: "move-n1-" + id, Kind: api.JobMove, GroupID: &group}, nil, func() {})
	if err != nil {
		t.Fatal(err)
	}
	row.End(api.StatusFailed, func(*api.Job) {})
	staging := filepath.Join(n.groupDir(group), "staging")
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
	const id = "5e0f9c57-0000-4000-8000-000000000002"
	note := fmt.Sprintf(`{"id":%q,"group":%d,"kind":"move","trigger":"move","options":{},"from":"n9","ended":{"status":"failed","why":"no leaves"}}`, id, group)
	if _, err := n.gateway.Jobs().Open(api.Job{ID: "move-n1-" + id, Kind: api.JobMove, GroupID: &group}, json.RawMessage(note), func() {}); err != nil {
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
