package storage

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// TestCopyIsSyncedOnce: what was gathered and never committed becomes a shard's file at once, not by a transaction. A job of
// little data is mostly what it waits for the disk.
func TestCopyIsSyncedOnce(t *testing.T) {
	_, c := leaderCut(t)
	stage := mustStage(t, stageOptions(t))
	c.fetch(t, stage, c.manifest)
	orphan, e := leafOfParts(t, digest.Leaf{Window: 99, Slot: SlotOf(Series{"db", "c", "d"}.Key())}, 1, Series{"db", "c", "d"}.Key(),
		WindowStart(99, int64(testWindow)))
	if err := stage.Put(orphan, e); err != nil { // of an earlier cut
		t.Fatal(err)
	}
	if err := stage.Seal(testIdentity, c.state, c.manifest); err != nil {
		t.Fatal(err)
	}
	if err := stage.Commit(); err != nil { // nothing waits
		t.Fatal(err)
	}
	if err := stage.Seal(testIdentity, c.state, c.manifest); err != nil {
		t.Fatal(err)
	}
	if last := stage.file.last.Load().txid; last != 1 || stage.file.unborn {
		t.Errorf("its last transaction is %d, unborn %v", last, stage.file.unborn)
	}
	c.prove(t, Assembly{Stage: stage, Manifest: c.manifest}) // of what is installed
	checkInstalled(t, install(t, stage, c), c)
}

// TestStageHasNoFileBeforeItNeedsOne: a copy of little data is in memory until it is sealed, and a file that is made before
// waits for the disk.
func TestStageHasNoFileBeforeItNeedsOne(t *testing.T) {
	_, c := leaderCut(t)
	o := stageOptions(t)
	files := func(want int) {
		t.Helper()
		if list, err := os.ReadDir(filepath.Dir(o.Path)); err != nil || len(list) != want {
			t.Errorf("%d files instead of %d: %v, %v", len(list), want, list, err)
		}
	}
	stage := mustStage(t, o)
	c.fetch(t, stage, c.manifest)
	files(0)
	if err := stage.Close(); err != nil {
		t.Fatal(err)
	}
	stage = mustStage(t, o) // of a job that was killed
	if got, err := stage.Leaves(); err != nil || len(got) != 0 {
		t.Fatalf("%d leaves of a stage that was never committed, %v", len(got), err)
	}
	c.fetch(t, stage, c.manifest[:1])
	if err := stage.Commit(); err != nil {
		t.Fatal(err)
	}
	files(1)
	c.fetch(t, stage, c.manifest[1:])
	c.prove(t, Assembly{Stage: stage, Manifest: c.manifest})
	checkInstalled(t, install(t, stage, c), c)
}
