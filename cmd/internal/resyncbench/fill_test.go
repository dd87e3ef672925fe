package resyncbench

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage"
)

// stopped makes the data directory of a node whose groups were written once.
func stopped(t testing.TB, groups []uint32, at storage.Position) string {
	t.Helper()
	dir := t.TempDir()
	for _, g := range groups {
		if err := os.MkdirAll(filepath.Dir(shardPath(dir, g)), 0o755); err != nil {
			t.Fatal(err)
		}
		s, err := openShard(dir, g)
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range s.Apply([]storage.Entry{{Index: at.Index, Term: at.Term, Data: storage.AppendNoop(nil)}}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFilledReplicasAreEqualAndHaveDigests(t *testing.T) {
	groups := []uint32{3, 200}
	dirs := []string{stopped(t, groups, storage.Position{Index: 40, Term: 5}), stopped(t, groups, storage.Position{Index: 41, Term: 6})}
	sh, err := shapeOf(16 << 20)
	if err != nil {
		t.Fatal(err)
	}
	series := seriesOfGroups()
	began := time.Now()
	var done atomic.Int64
	err = below(t.Context(), dirs, groups, sh.fill(series, 1), func() { done.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d groups in %v", done.Load(), time.Since(began))
	for _, g := range groups {
		var roots []string
		for _, dir := range dirs {
			s, err := openShard(dir, g)
			if err != nil {
				t.Fatal(err)
			}
			if at, want := s.Applied(), (storage.Position{Index: 41 + jump, Term: 5}); at != want {
				t.Errorf("group %d stands at %v, not at %v", g, at, want)
			}
			v, err := s.Look(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			root, entries, err := v.Root(t.Context())
			if err != nil || len(entries) != leaves {
				t.Fatalf("group %d: %d leaves instead of %d, %v", g, len(entries), leaves, err)
			}
			roots = append(roots, root.String())
			v.Close()
			if stats := s.Stats(); stats.Points != uint64(sh.rows*leaves) {
				t.Errorf("group %d: %d points", g, stats.Points)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if roots[0] != roots[1] {
			t.Errorf("group %d: %v", g, roots)
		}
	}
}
