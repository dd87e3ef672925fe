package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/raftlog"
)

// A wiped disk comes back as a new server. It joins empty, is installed, and keeps
// its generation at the next start: it has a vote record then.
func TestNewServerIsAddedAsNonvoterBehindItsInstall(t *testing.T) {
	for _, bolt := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newTestClusterOn(t, 4, bolt, nil)
			c.bear(3, 7)
			s := &scene{testCluster: c, t: t, leader: c.leader(7), want: make(map[int64]int64), target: c.nodes[3]}
			s.applied(7, s.write(30)) // or the trim leaves a voter behind
			s.trim(s.leader)
			s.write(5)
			replica, err := s.target.host.Ensure(context.Background(), Want{Group: 7, Birth: c.births[7], Assigned: true})
			if err != nil {
				t.Fatal(err)
			}
			if r, err := replica.Report(); err != nil || !r.Running || r.Member || r.HasData || r.First != 1 || r.Last != 0 || r.CurrentTerm != 0 {
				t.Errorf("%+v %v", r, err)
			}
			if r, ok := replica.ReportAtOpen(); !ok || r.HasData || r.First != 1 {
				t.Errorf("at open %+v %v", r, ok)
			}
			h := s.hold(replica)
			copied := s.cut()
			if err := s.install(h, copied, false); err != nil {
				t.Fatal(err)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(replica.host.shardPath(7)), "shard.db*")); len(left) != 1 {
				t.Errorf("beside the new shard lies what was never one: %v", left)
			}
			if st := replica.Status(); st.State != ReplicaSyncing || st.Self != s.target.id.Server(0) {
				t.Errorf("before it is added: %s %s as %s", st.State, st.Why, st.Self)
			}
			s.stop(s.target, true)
			s.start(s.target)
			if replica = s.replica(); replica.Self() != s.target.id.Server(0) || !replica.Running() {
				t.Fatalf("it comes back as %s: %s", replica.Self(), replica.Status().Why)
			}
			s.write(3)
			s.add(replica.Self(), s.leader.AddNonvoter)
			if st := replica.Status(); st.State != ReplicaSyncing || st.Role != RoleLearner {
				t.Errorf("without a vote it is %s %s", st.Role, st.State)
			}
			s.equal()
			s.add(replica.Self(), s.leader.AddVoter)
			s.serves(s.target.id.Server(0).String())
			if gaps := s.leader.Status().Gaps; len(gaps) > 0 {
				t.Errorf("gaps %+v", gaps)
			}
		})
	}
}

// add makes one change of the configuration.
func (s *scene) add(id membership.ServerID, change func(context.Context, membership.ServerID, uint64) error) {
	s.t.Helper()
	_, index, err := s.leader.Members()
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := change(ctx, id, index); err != nil {
		s.t.Fatalf("add %s: %v", id, err)
	}
	s.applied(7, s.write(1))
}

// The target knows a higher term than the leader. It keeps it; the leader hears of
// it, steps down, and the group goes on in a later one.
func TestTargetInAHigherTermIsInstalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		replica := s.replica()
		s.net.setMute(s.target.id.Name)
		s.write(20)
		s.trim(s.leader)
		for _, n := range s.nodes {
			g, _ := n.host.Group(7)
			if g != replica && g != s.leader {
				s.applied2(n, s.write(1))
				s.trim(g)
			}
		}
		in, err := replica.running()
		if err != nil {
			t.Fatal(err)
		}
		const high = 50
		if err := in.stepBack(context.Background(), high); err != nil || in.raft.CurrentTerm() != high {
			t.Fatalf("term %d: %v", in.raft.CurrentTerm(), err)
		}
		h := s.hold(replica)
		c := s.cut()
		if err := s.install(h, c, true); err != nil {
			t.Fatal(err)
		}
		if r, err := replica.Report(); err != nil || r.CurrentTerm != high {
			t.Errorf("its term is %d: %v", r.CurrentTerm, err)
		}
		s.net.setMute("")
		await(t, "the leader of a term above the target's", time.Minute, func() bool {
			for _, n := range s.nodes {
				if g, _ := n.host.Group(7); g.IsLeader() && g.Status().Term > high {
					return true
				}
			}
			return false
		})
		s.equal()
	})
}

// A group without an instance is installed all the same.
func TestReplicaThatDoesNotRunIsInstalled(t *testing.T) {
	for _, bolt := range []bool{false, true} {
		t.Run(fmt.Sprintf("bolt=%v", bolt), func(t *testing.T) { replicaThatDoesNotRun(t, bolt) })
	}
}

func replicaThatDoesNotRun(t *testing.T, bolt bool) {
	for _, tt := range []struct {
		name   string
		spoil  func(t *testing.T, s *scene, path string)
		refuse func(t *testing.T, r Report) // what it says of itself
		base   bool
		as     uint32 // 1: at least that generation comes back
	}{
		{
			name: "LogBeginsAboveTheShard",
			spoil: func(t *testing.T, _ *scene, path string) {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			},
			refuse: func(t *testing.T, r Report) {
				if r.HasData || r.Damage != "" || r.Last != 0 || r.First != 1 {
					t.Errorf("%+v", r)
				}
			},
		},
		{
			name: "DamagedFile",
			spoil: func(t *testing.T, _ *scene, path string) {
				if err := os.WriteFile(path, make([]byte, 64<<10), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			refuse: func(t *testing.T, r Report) {
				if r.HasData || r.Damage == "" {
					t.Errorf("%+v", r)
				}
			},
		},
		{
			name: "InQuarantine",
			spoil: func(t *testing.T, _ *scene, path string) {
				if err := os.WriteFile(path+".quarantined", []byte("2026-01-01T00:00:00Z page 7: bad\n"), 0o600); err != nil {
					t.Fatal(err)
				}
			},
			refuse: func(t *testing.T, r Report) {
				if r.HasData || r.Damage == "" {
					t.Errorf("%+v", r)
				}
			},
		},
		{
			name: "AnotherLineage",
			spoil: func(t *testing.T, s *scene, path string) {
				s.rewrite(path, func(id *storage.Identity) { id.Lineage = lineageTwo })
				s.setVote(func(r *raftlog.VoteRecord) { r.Lineage = lineageTwo })
			},
			refuse: func(t *testing.T, r Report) {
				if !r.HasData || r.Lineage != lineageTwo || r.Damage != "" {
					t.Errorf("%+v", r)
				}
			},
			base: true,
		},
		{
			name: "ForgotItsVoteToo",
			spoil: func(t *testing.T, s *scene, path string) {
				if err := os.WriteFile(path, make([]byte, 64<<10), 0o600); err != nil {
					t.Fatal(err)
				}
				removeVote(t, s.target, 7)
			},
			refuse: func(t *testing.T, r Report) {
				if r.HasData || r.Damage == "" {
					t.Errorf("%+v", r)
				}
			},
			as: 1,
		},
		{
			name: "ForgotItsLogToo",
			spoil: func(t *testing.T, s *scene, path string) {
				err := os.WriteFile(path, make([]byte, 64<<10), 0o600)
				if err := errors.Join(err, os.RemoveAll(s.target.dir+"/log"), os.RemoveAll(filepath.Dir(path)+"/raft.db")); err != nil {
					t.Fatal(err)
				}
			},
			refuse: func(t *testing.T, r Report) {
				if r.HasData || r.Damage == "" {
					t.Errorf("%+v", r)
				}
			},
			as: 1,
		},
		{
			name: "VoteIsOlderThanItsLog",
			spoil: func(t *testing.T, s *scene, path string) {
				if err := os.WriteFile(path, make([]byte, 64<<10), 0o600); err != nil {
					t.Fatal(err)
				}
				s.setVote(func(r *raftlog.VoteRecord) { r.CurrentTerm = 1 })
			},
			refuse: func(t *testing.T, r Report) {
				if r.HasData || r.Damage == "" {
					t.Errorf("%+v", r)
				}
			},
			as: 1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, bolt, nil)
				s.applied(7, s.write(5))
				s.trim(s.replica())
				s.write(5)
				path := s.replica().host.shardPath(7)
				s.stop(s.target, true)
				tt.spoil(t, s, path)
				s.write(20)
				s.trim(s.leader)
				s.write(1)
				s.start(s.target)
				replica := s.replica()
				if replica.Running() {
					t.Fatal("it runs")
				}
				atOpen, ok := replica.ReportAtOpen()
				if !ok {
					t.Fatal("no report of the open")
				}
				tt.refuse(t, atOpen)
				r, err := replica.Report()
				if err != nil {
					t.Fatal(err)
				}
				tt.refuse(t, r)
				s.foreign(replica, tt.name == "AnotherLineage")
				h := s.hold(replica)
				if (h.View() != nil) != tt.base {
					t.Errorf("base: %v", h.View() != nil)
				}
				if r, err = replica.Report(); err != nil || r.Held != "job" {
					t.Errorf("%+v %v", r, err)
				}
				tt.refuse(t, r)
				if _, err := s.target.host.Ensure(context.Background(), Want{Group: 7, Birth: s.births[7]}); err != nil || replica.Running() {
					t.Errorf("it is opened under its hold: %v", err)
				}
				c := s.cut()
				if tt.name == "InQuarantine" {
					if err := s.install(h, c, true); !errors.Is(err, storage.ErrDamaged) {
						t.Fatalf("into a file in quarantine: %v", err)
					}
				}
				if err := s.install(h, c, tt.base); err != nil {
					t.Fatal(err)
				}
				if replica.Self().NodeID != s.target.id || min(replica.Self().Generation, 1) != tt.as || !replica.Running() {
					t.Fatalf("it runs as %s: %q", replica.Self(), replica.Status().Why)
				}
				if tt.as > 0 { // as a new server, whom the leader has to add
					s.add(replica.Self(), s.leader.AddNonvoter)
				}
				s.equal()
			})
		})
	}
}

// foreign checks what an install would think of the log of a closed group.
func (s *scene) foreign(g *Group, want bool) {
	s.t.Helper()
	entries, err := g.host.config.Engine.Open(7)
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := g.host.installFacts(7, entries, s.leader.Lineage(), storage.Position{Index: 5, Term: 2})
	if err := errors.Join(err, entries.Close()); err != nil || f.Foreign != want || f.Joiner {
		s.t.Errorf("%+v, foreign %v: %v", f, want, err)
	}
}

// rewrite gives the target's shard another identity.
func (s *scene) rewrite(path string, change func(*storage.Identity)) {
	s.t.Helper()
	o := storage.Options{Path: path, InitialMmapSize: 1 << 20}
	o.Identity.Group = 7
	shard, err := storage.OpenShard(o)
	if err != nil {
		s.t.Fatal(err)
	}
	view, err := shard.Look(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	c := s.look(view)
	id, err := shard.Identity()
	if err != nil {
		s.t.Fatal(err)
	}
	change(&id)
	stage, err := storage.OpenStage(storage.StageOptions{Path: path + ".other", Identity: id, InitialMmapSize: 1 << 20})
	if err != nil {
		s.t.Fatal(err)
	}
	if failed, err := stage.CopyFrom(context.Background(), view, c.manifest); err != nil || len(failed) > 0 {
		s.t.Fatal(err, failed)
	}
	err = stage.Seal(id, c.state, c.manifest)
	if err := errors.Join(err, stage.Close(), view.Close(), shard.Close(), os.Rename(path+".other", path)); err != nil {
		s.t.Fatal(err)
	}
}

// setVote changes the vote record of the target, who is down.
func (s *scene) setVote(change func(*raftlog.VoteRecord)) {
	s.t.Helper()
	v, err := raftlog.OpenVotes(s.target.dir+"/votes.db", raftlog.VotesOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	r, ok, err := v.Record(7)
	if err != nil || !ok {
		s.t.Fatal(ok, err)
	}
	change(&r)
	if err := errors.Join(v.Put(r), v.Close()); err != nil {
		s.t.Fatal(err)
	}
}

// A deposed leader with a tail that nobody acked needs no copy: Raft replaces it.
func TestDeposedLeaderWithAnUnackedTailIsReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.deposeTarget(3)
		s.write(10)
		r, err := s.replica().Report()
		if err != nil {
			t.Fatal(err)
		}
		leader, err := s.leader.LeaderReport(context.Background(), s.target.id.Server(0))
		if err != nil || !leader.Committed || !leader.CanCommit || leader.First > r.Applied.Index+1 || leader.Last <= r.Applied.Index {
			t.Errorf("%+v %v", leader, err)
		}
		s.net.setMute("")
		s.equal()
		if gaps := s.leader.Status().Gaps; len(gaps) > 0 {
			t.Errorf("gaps %+v", gaps)
		}
	})
}

// A server that promised nothing gets a vote record with the cut's term. One that
// has forgotten gets none, and what was voted stays.
func TestTermIsRaisedAndVotesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 1, nil)
		h := c.nodes[0].host
		n := intent{Lineage: lineageOne, Cut: storage.Position{Index: 9, Term: 4}}
		record := func() raftlog.VoteRecord {
			r, ok, err := h.config.Votes.Record(9)
			if err != nil || !ok {
				return raftlog.VoteRecord{}
			}
			return r
		}
		if err := h.raiseTerm(9, n, 2); err != nil || record().Group != 0 {
			t.Errorf("one that has forgotten: %+v %v", record(), err)
		}
		n.Joiner = true
		if err := h.raiseTerm(9, n, 2); err != nil || record().CurrentTerm != 4 || record().Generation != 2 || record().Lineage != lineageOne {
			t.Errorf("a new server: %+v %v", record(), err)
		}
		voted := record()
		voted.CurrentTerm, voted.LastVoteTerm, voted.LastVoteCand = 6, 6, []byte("n2.00000002.0")
		if err := h.config.Votes.Put(voted); err != nil {
			t.Fatal(err)
		}
		for _, term := range []uint64{5, 8} {
			n.Cut.Term = term
			if err := h.raiseTerm(9, n, 2); err != nil || record().CurrentTerm != max(6, term) || record().LastVoteTerm != 6 || string(record().LastVoteCand) != "n2.00000002.0" {
				t.Errorf("cut of term %d: %+v %v", term, record(), err)
			}
		}
		n.Lineage = lineageTwo
		if err := h.raiseTerm(9, n, 2); err != nil || record().Lineage != lineageTwo || record().LastVoteTerm != 6 {
			t.Errorf("another lineage: %+v %v", record(), err)
		}
	})
}
