package raftlog

import (
	"os"
	"path/filepath"
	"testing"
)

// TestTornCommitOfTheBoltEngine: bbolt writes the pages of a commit, syncs, and then writes its meta page. Power
// goes at any byte of the pages: the log is as it was, and goes on.
func TestTornCommitOfTheBoltEngine(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "groups", "1", "raft.db")
	e, err := boltAt(dir)
	must(t, err)
	l := openLog(t, e, 1)
	must(t, l.StoreLogs(entries(1, 1, 5, 1)))
	before, err := os.ReadFile(path) // opening makes a commit of its own, so both in one go
	must(t, err)
	must(t, l.StoreLogs(entries(1, 6, 7, 1)))
	after, err := os.ReadFile(path)
	must(t, err)
	must(t, e.Close())
	metas := 2 * os.Getpagesize()
	for cut := metas; cut <= len(after); cut += 509 {
		image := make([]byte, len(after))
		copy(image, before)
		copy(image[metas:cut], after[metas:cut])
		must(t, os.WriteFile(path, image, 0o600))
		e, err := boltAt(dir)
		must(t, err)
		l := openLog(t, e, 1)
		holds(t, l, 1, 1, 5, term(1))
		if cut%7 == 0 {
			must(t, l.StoreLogs(entries(1, 6, 9, 1)))
			holds(t, l, 1, 1, 9, term(1))
		}
		must(t, e.Close())
	}
	must(t, os.WriteFile(path, after, 0o600))
	e, err = boltAt(dir)
	must(t, err)
	holds(t, openLog(t, e, 1), 1, 1, 7, term(1))
	must(t, e.Close())
}
