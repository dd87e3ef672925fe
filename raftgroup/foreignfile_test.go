package raftgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/raftlog"
)

// strangeFiles are what can lie in the place of a replica's shard when its node
// starts, and what the replica says of it.
var strangeFiles = []struct {
	name    string
	put     func(t *testing.T, s *scene, path string)
	why     string // part of what it says; "": it runs, or lacks what the log had
	base    bool   // a copy is built upon it
	exhibit bool   // it is kept when it is replaced
}{
	{"AnotherGroups", func(_ *testing.T, s *scene, path string) {
		s.rewrite(path, func(id *storage.Identity) { id.Group, id.Lineage = 8, lineageTwo })
	}, "shard belongs to something else: ", false, true},
	{"AnotherClusters", func(_ *testing.T, s *scene, path string) {
		s.rewrite(path, func(id *storage.Identity) { id.ClusterID = "theirs" })
	}, "shard belongs to something else: ", false, true},
	{"AnotherLineages", func(_ *testing.T, s *scene, path string) {
		s.rewrite(path, func(id *storage.Identity) { id.Lineage = lineageTwo })
	}, "lineage of the shard is ", true, true},
	{"NoShardAtAll", func(t *testing.T, _ *scene, path string) {
		overwriteFile(t, path, bytes.Repeat([]byte("letters\n"), 8<<10))
	}, storage.ErrDamaged.Error(), false, true},
	{"CutShort", func(t *testing.T, _ *scene, path string) {
		if err := os.Truncate(path, 2*4096); err != nil {
			t.Fatal(err)
		}
	}, storage.ErrDamaged.Error(), false, true},
	{"Empty", func(t *testing.T, _ *scene, path string) { overwriteFile(t, path, nil) }, "log begins at ", true, false},
	{"Folder", func(t *testing.T, _ *scene, path string) {
		if err := errors.Join(os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o750)); err != nil {
			t.Fatal(err)
		}
	}, "log begins at ", false, false},
	{"Missing", func(t *testing.T, _ *scene, path string) {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}, "log begins at ", false, false},
}

func overwriteFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A file that is not the replica's shard, found at a start, is never served: the
// replica stays closed, and asks for a copy. What it voted and logged stays what it
// was, a copy brings it back under its own id, and the file is kept.
func TestStrangeFileAtAStartIsReplaced(t *testing.T) {
	for i, tt := range strangeFiles {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, i%2 == 1, nil) // log engines in turn
				s.applied(7, s.write(5))
				s.trim(s.replica())
				s.write(5)
				path := s.replica().host.shardPath(7)
				s.stop(s.target, true)
				tt.put(t, s, path)
				lay, _ := os.ReadFile(path)
				voted := s.voted()
				s.write(20)
				s.start(s.target)
				replica := s.replica()
				state, why := replica.Condition()
				if replica.Running() || replica.Shard() != nil || state != ReplicaQuarantined || !strings.HasPrefix(why, tt.why) {
					t.Fatalf("runs: %v, state %v, why %q", replica.Running(), state, why)
				}
				r, ok := replica.ReportAtOpen()
				if !ok || r.Foreign != "" || r.HasData != (tt.base && len(lay) > 0) || (r.Damage != "") != (tt.exhibit && !tt.base) {
					t.Errorf("it says of itself: %+v", r)
				}
				h := s.hold(replica)
				if (h.View() != nil) != tt.base {
					t.Errorf("base: %v", h.View() != nil)
				}
				if err := s.install(h, s.cut(), tt.base); err != nil {
					t.Fatal(err)
				}
				if replica.Self() != s.target.id.Server(0) || !replica.Running() {
					t.Fatalf("it runs as %s: %q", replica.Self(), replica.Status().Why)
				}
				if now := s.voted(); now.CurrentTerm < voted.CurrentTerm || now.CurrentTerm == voted.CurrentTerm && !bytes.Equal(now.LastVoteCand, voted.LastVoteCand) {
					t.Errorf("it voted %+v and remembers %+v", voted, now)
				}
				s.equal()
				s.kept(replica, tt.exhibit, lay, why)
				if folders, _ := filepath.Glob(path + folderMark + "*/x"); (len(folders) == 1) != (tt.name == "Folder") {
					t.Errorf("kept beside it: %v", folders)
				}
			})
		})
	}
}

// Nobody can say whose a file is that this binary cannot read: another one may, so
// that no copy takes its place.
func TestFileOfAnotherLayoutIsLeftAlone(t *testing.T) {
	e, err := new(opening).strange(fmt.Errorf("%w: %w", storage.ErrIdentity, storage.ErrLayout))
	if err != nil || !e.Strange || e.Damage == "" {
		t.Fatalf("%+v %v", e, err)
	}
	r := (&opening{group: 7, host: &Host{}, evident: Evidence{Shard: e}}).reportAtOpen(Decision{Why: damageWhy(e.Damage), ResetLog: 1})
	if r.Foreign == "" || r.Damage != "" || !strings.HasPrefix(r.Why, "shard belongs to something else: ") {
		t.Errorf("%+v", r)
	}
}

// voted is the vote record of the target, down or up.
func (s *scene) voted() (r raftlog.VoteRecord) {
	s.t.Helper()
	if s.target.host == nil {
		s.setVote(func(v *raftlog.VoteRecord) { r = *v })
		return r
	}
	r, ok, err := s.target.votes.Record(7)
	if err != nil || !ok {
		s.t.Fatal(ok, err)
	}
	return r
}

// kept makes sure that what lay there is in quarantine, with the reason, or that
// there was nothing to keep.
func (s *scene) kept(g *Group, want bool, lay []byte, why string) {
	s.t.Helper()
	reports, files := reportsOf(s.t, g)
	if !want {
		if len(reports) > 0 {
			s.t.Errorf("kept for nothing: %+v", reports)
		}
		return
	}
	if len(reports) != 1 || !strings.Contains(reports[0].Why, strings.TrimPrefix(why, storage.ErrDamaged.Error())) || reports[0].File != "shard.db" || reports[0].FileError != "" {
		s.t.Fatalf("%d reports: %+v", len(reports), reports)
	}
	at := filepath.Join(filepath.Dir(files[0][0]), "shard.db")
	b, err := os.ReadFile(at)
	if err != nil {
		s.t.Fatal(err)
	}
	if !bytes.Equal(b, lay) {
		s.t.Errorf("%s has %d bytes, others than the %d that lay there", at, len(b), len(lay))
	}
}
