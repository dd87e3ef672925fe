package raftgroup

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// reportsOf reads the reports in a replica's quarantine folder, oldest first, with
// the files beside each.
func reportsOf(t *testing.T, g *Group) (reports []exhibitReport, files [][]string) {
	t.Helper()
	folders, err := os.ReadDir(g.QuarantineDir())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, f := range folders {
		dir := filepath.Join(g.QuarantineDir(), f.Name())
		b, err := os.ReadFile(filepath.Join(dir, "report.json"))
		if err != nil {
			t.Fatal(err)
		}
		var r exhibitReport
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		names, _ := filepath.Glob(filepath.Join(dir, "*"))
		reports, files = append(reports, r), append(files, names)
	}
	return reports, files
}

// spoil makes the replica diverge, as no log says.
func (s *scene) spoil(g *Group) digest.Leaf {
	s.t.Helper()
	did, err := g.Shard().Spoil(context.Background(), storage.SpoilDivergent, func(n int) int { return n / 2 })
	if err != nil || did.Leaf == nil {
		s.t.Fatalf("spoil: %+v %v", did, err)
	}
	return *did.Leaf
}

// A leaf of a replica that is not behind is replaced in place while writes go on;
// its old bytes are kept; it is suspect until it is acquitted.
func TestRepairOfAReplicaThatIsNotBehind(t *testing.T) {
	for _, wasLeader := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t, false, nil)
			s.applied(7, s.write(20))
			g := s.replica()
			if wasLeader {
				g = s.leader
				s.target = s.nodeOf(g)
			}
			leaf := s.spoil(g)
			mustSuspect(t, g, Suspicion{Why: "differs from two others", Leaves: []digest.Leaf{leaf}})
			if wasLeader {
				await(t, "another leader", 10*time.Second, func() bool { return !g.IsLeader() })
				s.leader = s.testCluster.leader(7)
			}
			s.applied(7, s.write(5))
			h := s.hold(g)
			s.write(5)
			c := s.cut()
			s.write(5) // behind the cut, in the held one's log
			stage := s.stage(g, c, h.View())
			err := h.Install(context.Background(), Installation{
				Lineage: c.lineage, State: c.state, Cut: c.cut, Manifest: c.manifest, InPlace: true, Stage: stage,
				Exhibit: &Exhibit{Job: "job/1", Why: "anti-entropy", Good: []string{"n2", "n3"}, Leaves: []digest.Leaf{leaf}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if st := g.Status(); st.State != ReplicaSuspect || len(g.Shard().Distrusted()) != 1 {
				t.Errorf("before the check it is %s, not serving %v", st.State, g.Shard().Distrusted())
			}
			if err := g.Clear(leaf); err != nil {
				t.Fatal(err)
			}
			s.equal()
			s.serves(g.Self().String())
			reports, files := reportsOf(t, g)
			if len(reports) != 1 {
				t.Fatalf("%d reports", len(reports))
			}
			r := reports[0]
			if r.Job != "job/1" || r.Why != "anti-entropy" || len(r.Good) != 2 || !r.InPlace || r.Cut.Index != c.cut.Index || len(r.Leaves) != 1 || r.Since.IsZero() {
				t.Errorf("%+v", r)
			}
			if l := r.Leaves[0]; l.Window != leaf.Window || l.Slot != leaf.Slot || l.Bytes == 0 || l.Error != "" || len(files[0]) != 2 {
				t.Errorf("%+v %v", l, files[0])
			}
		})
	}
}

// A file that cannot be read as a shard is kept as it is when a full copy replaces
// it, and what cannot be kept does not stand in the way.
func TestDamagedFileIsKeptWhenItIsReplaced(t *testing.T) {
	for _, hindered := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t, false, nil)
			s.applied(7, s.write(20))
			g := s.replica()
			if _, err := g.Shard().Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
			g.host.damaged(7, errors.New("page 7: bad"))
			await(t, "the quarantine", 10*time.Second, func() bool { return !g.Running() })
			old, err := os.ReadFile(s.target.host.shardPath(7))
			if err != nil {
				t.Fatal(err)
			}
			if hindered { // a file where the folder should be
				if err := os.WriteFile(g.QuarantineDir(), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.install(s.hold(g), s.cut(), false); err != nil {
				t.Fatal(err)
			}
			s.equal()
			s.serves(g.Self().String())
			if hindered {
				return
			}
			reports, files := reportsOf(t, g)
			if len(reports) != 1 || reports[0].File != "shard.db" || !strings.Contains(reports[0].Why, "page 7") || reports[0].Job != "job" {
				t.Fatalf("%+v", reports)
			}
			kept, err := os.ReadFile(files[0][1])
			if err != nil || string(kept) != string(old) {
				t.Errorf("%d bytes are kept of %d: %v", len(kept), len(old), err)
			}
		})
	}
}

// The install of a replica that nothing is held against keeps nothing.
func TestNothingIsKeptOfAReplicaThatWasOnlyBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(20))
		if err := s.install(s.hold(s.replica()), s.cut(), false); err != nil {
			t.Fatal(err)
		}
		if reports, _ := reportsOf(t, s.replica()); len(reports) > 0 {
			t.Errorf("%+v", reports)
		}
	})
}

// The folder is bounded in number and bytes, oldest first out; what a kill has left
// goes, and the newest stays.
func TestQuarantineFolderIsBounded(t *testing.T) {
	dir := t.TempDir()
	made := 0
	folder := func(prefix string, bytes int64) string {
		at := time.Date(2026, 11, 22, 13, 0, made, 0, time.UTC)
		made++
		name := prefix + (&exhibitReport{At: at, Job: "a b/../c"}).folder()
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o750); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(path, "x.leaf"))
		if err == nil {
			err = errors.Join(f.Truncate(bytes), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	left := func() int {
		if err := pruneExhibits(dir); err != nil {
			t.Fatal(err)
		}
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	first := folder("", 1)
	for range maxExhibits + 3 {
		folder("", 1)
	}
	folder(partialExhibit, 1)
	if n := left(); n != maxExhibits {
		t.Errorf("%d are left", n)
	}
	if _, err := os.Stat(first); !errors.Is(err, os.ErrNotExist) {
		t.Error("the oldest is left")
	}
	folder("", maxExhibitBytes/2)
	newest := folder("", maxExhibitBytes/2+1)
	if n := left(); n != 1 {
		t.Errorf("%d are left", n)
	}
	if _, err := os.Stat(newest); err != nil {
		t.Error("the newest is not left")
	}
	k := &keeper{dir: dir, left: 10, over: func() error { return nil }}
	if n, err := k.keepStream("y", func(w io.Writer) error { _, err := w.Write(make([]byte, 100)); return err }); n != 10 || !errors.Is(err, errExhibitFull) {
		t.Errorf("%d bytes: %v", n, err)
	}
}

// Leaves beyond the time that an install waits cost it nothing: neither a file nor a look at the old bytes.
func TestNothingMoreIsKeptWhenTheTimeIsOver(t *testing.T) {
	dir := t.TempDir()
	k := &keeper{dir: dir, left: 10, over: func() error { return context.DeadlineExceeded }}
	_, err := k.keepStream("y", func(io.Writer) error { t.Error("the old bytes are read"); return nil })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
