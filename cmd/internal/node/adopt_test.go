package node

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/flotilla-db/flotilla/membership/gossip"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// clone copies a data directory as cp -r does.
func clone(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "clone")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestCopyOfADirectoryIsRefusedWhileItsOriginalRuns(t *testing.T) {
	nodes := three(t)
	await(t, nodes[2], "the original has only just started", func() bool { return !nodes[2].second() })
	cfg := settingsOf(t, "n3", clone(t, nodes[2].cfg.DataDir), nodes[0].addrs.gossip)
	twin, err := Start(cfg, Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-twin.Failed(); !errors.Is(err, gossip.ErrTwin) || !isFinal(err) {
		t.Errorf("the copy: %v", err)
	}
	if twin.Groups() != nil {
		t.Error("the copy has opened groups under the ids of the original")
	}
	if err := twin.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-nodes[2].Failed():
		t.Errorf("the original: %v", err)
	default:
	}
	fill(t, nodes[0], 0, 2)
	awaitEqual(t, nodes[0])
}

func TestAdoptedCloneTakesTheOldPlacesWithTheData(t *testing.T) {
	nodes := three(t)
	fill(t, nodes[0], 0, 50)
	awaitEqual(t, nodes[0])
	if err := nodes[1].Close(); err != nil { // what it holds is in its files
		t.Fatal(err)
	}
	dir := clone(t, nodes[1].cfg.DataDir)
	back := start(t, settingsOf(t, "n2", nodes[1].cfg.DataDir, nodes[0].addrs.gossip))
	awaitReady(t, back)
	if err := nodes[2].Close(); err != nil {
		t.Fatal(err)
	}
	fill(t, nodes[0], 50, 53)
	cfg := settingsOf(t, "n3", dir) // no --join: the copy remembers the others
	cfg.AdoptClone = true
	adopted := start(t, cfg)
	defer func() {
		if t.Failed() {
			showJobs(t, adopted)
		}
	}()
	awaitReady(t, adopted)
	awaitEqual(t, adopted)
	if adopted.id.Name != "n3" || adopted.id.Incarnation == nodes[1].id.Incarnation || adopted.id.Incarnation == nodes[2].id.Incarnation {
		t.Errorf("it runs as %v", adopted.id)
	}
	for _, j := range jobsOn(t, adopted) {
		if v := deref(j.Verdict); v == "full" || j.Status != api.StatusDone {
			t.Errorf("job %s: %s %s: the data were there", j.ID, v, j.Status)
		}
	}
	// The flag stays in the unit file: it adopts once.
	if err := adopted.Close(); err != nil {
		t.Fatal(err)
	}
	again := start(t, cfg)
	awaitReady(t, again)
	if again.id != adopted.id {
		t.Errorf("the second start runs as %v, the first did as %v", again.id, adopted.id)
	}
	awaitEqual(t, again)
}

func TestNothingToAdopt(t *testing.T) {
	cfg := settingsOf(t, "n1", filepath.Join(t.TempDir(), "new"))
	cfg.AdoptClone = true
	if _, err := Start(cfg, Options{Logger: slog.New(slog.DiscardHandler)}); !errors.Is(err, errNoClone) {
		t.Fatal(err)
	}
	if _, err := os.Stat(cfg.DataDir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused start leaves %s: %v", cfg.DataDir, err)
	}
}

// The shards of an adopted clone whose groups are not assigned to it stay, are counted, and are what a move builds on: its
// dry run says so.
func TestAdoptedShardsThatNobodyAssignsAreWhatAMoveBuildsOn(t *testing.T) {
	settings := settingsOf(t, "n1", t.TempDir())
	settings.Replication.Factor = 1
	n1 := start(t, settings)
	awaitReady(t, n1)
	fill(t, n1, 0, 50)
	if err := n1.Close(); err != nil { // what it holds is in its files
		t.Fatal(err)
	}
	dir := clone(t, n1.cfg.DataDir)
	n1 = start(t, settings)
	awaitReady(t, n1)
	cfg := settingsOf(t, "n2", dir, n1.addrs.gossip)
	cfg.AdoptClone = true
	n2 := start(t, cfg)
	awaitReady(t, n2)
	held := len(n1.Groups().Groups())
	idle := func() int {
		groups, bytes := (&removal{n2}).idle(n2.dir.Table())
		if (bytes > 0) != (groups > 0) {
			t.Errorf("%d groups of %d bytes", groups, bytes)
		}
		return groups
	}
	if n := idle(); n != held || n == 0 {
		t.Errorf("%d shards are idle, the original holds %d", n, held)
	}
	move := gateway.MoveRequest{Group: n1.Groups().Groups()[0].ID(), A: "n1", B: "n2"}
	plan, err := n2.gateway.PlanMove(t.Context(), move)
	if err != nil || len(plan.Groups) != 1 || plan.Groups[0].Why != "" {
		t.Fatalf("%+v, %v", plan, err)
	}
	job, err := n2.gateway.Move(t.Context(), move)
	if err != nil {
		t.Fatal(err)
	}
	await(t, n2, "the move does not end", func() bool {
		job, err = n2.gateway.GetJob(t.Context(), job.ID)
		return err == nil && job.Final()
	})
	// The log does it all, and may have done it before the job asks.
	planned, came := deref(plan.Groups[0].Resync.Verdict), deref(job.Verdict)
	if job.Status != api.StatusDone || planned != "replay" || came != "replay" && came != "none" {
		t.Errorf("planned %s, and the job: %s, %s, %s", planned, came, job.Status, deref(job.Error))
	}
	if n := idle(); n != held-1 {
		t.Errorf("%d shards are idle, after one of %d was assigned", n, held)
	}
}
