package raftgroup

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/hashicorp/raft"
)

// heardWithin is what a replica may take from its start until it has applied what
// was committed all along: far below the commit timeout of a quiet leader.
const heardWithin = 20 * time.Millisecond

// A replica that starts, however it came to that, knows at once what is
// committed, though its leader has nothing to send.
func TestReplicaThatStartsHearsAtOnceWhatIsCommitted(t *testing.T) {
	for _, tt := range []struct {
		name  string
		start func(s heardScene) // what starts the target's replica
	}{
		{"Killed", func(s heardScene) {
			s.crash(s.target)
			s.settle()
			s.start(s.target)
		}},
		{"Installed", func(s heardScene) {
			h := s.hold(s.replica())
			c := s.cut()
			s.settle()
			if err := s.install(h, c, false); err != nil {
				s.t.Fatal(err)
			}
		}},
		{"InstalledBehindATrimmedLog", func(s heardScene) {
			s.stop(s.target, true)
			s.write(20)
			s.settle()
			s.trim(s.leader)
			s.start(s.target)
			await(s.t, "the alarm", time.Minute, func() bool { return len(s.leader.Status().Gaps) > 0 })
			h := s.hold(s.replica())
			c := s.cut()
			s.awaitAsked(c.cut.Position) // the leader looks again in gapProbe
			if err := s.install(h, c, false); err != nil {
				s.t.Fatal(err)
			}
		}},
		{"Released", func(s heardScene) {
			h := s.hold(s.replica())
			s.write(1)
			s.settle()
			if err := h.Release(context.Background()); err != nil {
				s.t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Uint64
				s := heardScene{newScene(t, false, func(c *HostConfig) { c.Call = noteAsked(c.Call, &asked) }), &asked}
				s.applied(7, s.write(5))
				s.settle()
				tt.start(s)
				began, want := time.Now(), s.leader.Status().AppliedIndex
				s.applied2(s.target, want)
				if took := time.Since(began); took > heardWithin {
					t.Errorf("it has applied entry %d after %v", want, took)
				}
				if st := s.replica().Status(); st.Leader != s.leader.Self() || st.Why != "" {
					t.Errorf("it follows %s: %q", st.Leader, st.Why)
				}
				s.equal()
			})
		})
	}
}

// heardScene notes for which entry the target was asked last.
type heardScene struct {
	*scene
	asked *atomic.Uint64
}

func noteAsked(call Caller, asked *atomic.Uint64) Caller {
	return func(ctx context.Context, to membership.NodeID, m Method, b []byte) ([]byte, error) {
		reply, err := call(ctx, to, m, b)
		if _, entry, wrong := decodeContainsQuestion(b); m == MethodContains && wrong == nil {
			asked.Store(entry.Index)
		}
		return reply, err
	}
}

func (s heardScene) awaitAsked(entry storage.Position) {
	s.t.Helper()
	await(s.t, "a question for the record", time.Minute, func() bool { return s.asked.Load() == entry.Index })
}

// settle waits until the leader has nothing to send any more.
func (s *scene) settle() { time.Sleep(5 * DefaultTimers().Commit) }

// A leader that waits for a peer with one record learns at once that another is
// held, so that Raft comes back with that one before the peer has it.
func TestGapAlarmLearnsAtOnceOfTheRecordThatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		in, err := s.leader.running()
		if err != nil {
			t.Fatal(err)
		}
		s.crash(s.target)
		old := s.leader.Shard().Applied()
		done := make(chan error, 1)
		go func() {
			r := &raft.InstallSnapshotRequest{Term: in.raft.CurrentTerm(), LastLogIndex: old.Index, LastLogTerm: old.Term}
			done <- in.gap(s.target.id.Server(0), r, &raft.InstallSnapshotResponse{})
		}()
		s.write(5)
		time.Sleep(gapLook / 2)
		s.cut()
		select {
		case err := <-done:
			if !errors.Is(err, errGap) {
				t.Error(err)
			}
		case <-time.After(heardWithin):
			t.Error("it waits on")
		}
		s.settle() // Raft answers nobody whose entry is under way when it ends
	})
}

// What a leader says is committed is what is committed: a replica with more in its
// log takes no more of it for that, and one whose entry there is another one's
// nothing at all.
func TestReplicaThatStartsTakesNoMoreForCommittedThanIsSaid(t *testing.T) {
	for _, tt := range []struct {
		name string
		said func(term, applied uint64) commitNotice
		want func(applied uint64) uint64
	}{
		{"Behind", func(term, applied uint64) commitNotice {
			return commitNotice{true, term, storage.Position{Index: applied - 3, Term: term}}
		}, func(applied uint64) uint64 { return applied - 3 }},
		{"OfAnotherTerm", func(term, applied uint64) commitNotice {
			return commitNotice{true, term, storage.Position{Index: applied - 3, Term: term + 1}}
		}, func(uint64) uint64 { return 0 }},
		{"OfADeposedLeader", func(term, applied uint64) commitNotice {
			return commitNotice{true, term - 1, storage.Position{Index: applied - 3, Term: term}}
		}, func(uint64) uint64 { return 0 }},
		{"OfWhoDoesNotLead", func(term, applied uint64) commitNotice {
			return commitNotice{false, term, storage.Position{Index: applied - 3, Term: term}}
		}, func(uint64) uint64 { return 0 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told atomic.Pointer[[]byte]
				s := newScene(t, false, func(c *HostConfig) {
					call := c.Call
					c.Call = func(ctx context.Context, to membership.NodeID, m Method, b []byte) ([]byte, error) {
						if said := told.Load(); m == MethodCommitted && said != nil {
							return *said, nil
						}
						return call(ctx, to, m, b)
					}
				})
				s.applied(7, s.write(10))
				s.crash(s.target) // nothing of it is in its shard's file
				s.net.setMute(s.target.id.Name)
				st := s.leader.Status()
				said := tt.said(st.Term, st.AppliedIndex).append(nil)
				told.Store(&said)
				s.start(s.target)
				time.Sleep(time.Second)
				if got := s.replica().Status(); got.CommitIndex != tt.want(st.AppliedIndex) || got.LogLast != st.LogLast {
					t.Errorf("of %d entries it takes %d for committed, said was %d", got.LogLast, got.CommitIndex, tt.want(st.AppliedIndex))
				}
				s.net.setMute("")
				told.Store(nil)
				s.equal()
			})
		})
	}
}

// Only who leads says what is committed.
func TestOnlyTheLeaderSaysWhatIsCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		last := s.write(5)
		s.applied(7, last)
		for _, n := range s.nodes {
			q := termQuestion{group: 7, lineage: s.leader.Lineage()}
			reply, err := n.host.Handle(t.Context(), n.id, MethodCommitted, appendTermQuestions(nil, []termQuestion{q}))
			if err != nil {
				t.Fatal(err)
			}
			said, err := decodeCommitNotice(reply)
			if err != nil {
				t.Fatal(err)
			}
			st := s.leader.Status()
			want := commitNotice{}
			if n.host == s.leader.host {
				want = commitNotice{true, st.Term, storage.Position{Index: st.CommitIndex, Term: st.Term}}
			}
			if said != want || st.CommitIndex < last {
				t.Errorf("%s says %+v, not %+v", n.id.Name, said, want)
			}
		}
	})
}

func TestCommitNoticeFramesRoundTrip(t *testing.T) {
	for _, n := range []commitNotice{{}, {leads: true, term: 1 << 60, at: storage.Position{Index: 1 << 50, Term: 7}}} {
		b := n.append(nil)
		if got, err := decodeCommitNotice(b); got != n || err != nil {
			t.Errorf("%+v became %+v: %v", n, got, err)
		}
		for i := range b {
			if _, err := decodeCommitNotice(b[:i]); err == nil {
				t.Errorf("%d of %d bytes are taken", i, len(b))
			}
		}
		if _, err := decodeCommitNotice(append(b, 0)); err == nil {
			t.Error("bytes behind the end are taken")
		}
	}
}
