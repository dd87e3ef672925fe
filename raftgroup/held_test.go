package raftgroup

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// I5: a held replica serves nothing, is no source, drops no log, and applies
// nothing, while it votes and acks: with it alone the leader commits.
func TestI5HeldReplicaVotesAndDoesNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		replica := s.replica()
		h := s.hold(replica)
		at := h.View().Index()
		s.crash(s.third)
		last := s.write(10) // acks
		time.Sleep(2 * DefaultTimers().Commit)
		if st := replica.Status(); st.State != ReplicaSyncing || st.Why == "" || st.LogLast < last || st.AppliedIndex >= last {
			t.Errorf("status %+v", st)
		}
		if replica.Shard() != nil {
			t.Error("its shard is given to readers")
		}
		if err := replica.NoShard(); !errors.Is(err, ErrAway) || !errors.Is(err, ErrClosed) || err.Error() != "group 7: waits for the install of job job" {
			t.Errorf("why there is none: %v", err)
		}
		if err := s.leader.NoShard(); !errors.Is(err, ErrAway) {
			t.Errorf("of one that has come back since it was asked: %v", err)
		}
		cut, _, err := s.leader.Cut(context.Background(), "test", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if _, _, err := replica.Root(ctx, cut); !errors.Is(err, ErrAway) {
			t.Errorf("it is a source: %v", err)
		}
		if err := replica.Trim(ctx); !errors.Is(err, ErrHeld) {
			t.Errorf("it trims: %v", err)
		}
		if _, err := replica.TakeHold(ctx, "other"); !errors.Is(err, ErrHeld) {
			t.Errorf("two owners: %v", err)
		}
		if again, err := replica.TakeHold(ctx, "job"); again != h || err != nil {
			t.Errorf("the owner does not get it back: %v", err)
		}
		if r, err := replica.Report(); err != nil || !r.Running || r.Held != "job" || r.Applied != at || r.Last < last || !r.Voter {
			t.Errorf("%+v %v", r, err)
		}
		if leaves, err := h.View().Leaves(); err != nil || len(leaves) != 1 || h.View().Index() != at {
			t.Errorf("the base moved to %v: %v", h.View().Index(), err)
		}
		// The leader dies: the held one votes for the third, which leads.
		// It needs all of the log for that, what came behind the cut too: else the held
		// one has to win first, and hand over.
		s.start(s.third)
		s.applied2(s.third, s.leader.Status().AppliedIndex)
		s.crash(s.nodeOf(s.leader))
		s.leader = s.testCluster.leader(7)
		if s.leader.Self().NodeID != s.third.id {
			t.Errorf("%s leads", s.leader.Self())
		}
		s.write(5)
		if err := h.Release(context.Background()); err != nil {
			t.Fatal(err)
		}
		s.equal()
		s.serves(s.target.id.Server(0).String())
	})
}

// A hold that changed nothing ends without a restart.
func TestReleaseOfAnIdleHoldKeepsTheInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		time.Sleep(time.Minute)
		before, err := s.replica().running()
		if err != nil {
			t.Fatal(err)
		}
		h := s.hold(s.replica())
		if err := h.Release(context.Background()); err != nil {
			t.Fatal(err)
		}
		if now, err := s.replica().running(); now != before {
			t.Errorf("another instance runs: %v", err)
		}
		if before.raft.ReloadableConfig().HeartbeatTimeout != DefaultTimers().Heartbeat {
			t.Error("its timers stay long")
		}
		s.equal()
	})
}

// The longest log is with the held one: nobody else can win. It leads, takes no
// client, gives the other voter its log, and hands over.
func TestHeldReplicaLeadsOnlyToHandItsLogOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		replica := s.replica()
		h := s.hold(replica)
		s.stop(s.third, true)
		last := s.write(10) // on the leader and in the held one's log
		s.crash(s.nodeOf(s.leader))
		s.start(s.third)
		// Nobody else has the last writes: the held one leads, if only for a moment.
		await(t, "the third to lead", 2*time.Minute, func() bool {
			if replica.IsLeader() {
				begun := time.Now()
				if _, err := replica.Propose(context.Background(), putFrame("dev", 1000, 1)); OutcomeOf(err) != OutcomeNotApplied || time.Since(begun) > 0 {
					t.Errorf("it takes a write: %v after %v", err, time.Since(begun))
				}
				ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
				if err := replica.ReadBarrier(ctx); err == nil {
					t.Error("it confirms a read")
				}
				if _, err := replica.LeaderReport(ctx, s.third.id.Server(0)); err == nil {
					t.Error("it reports as a leader")
				}
				cancel()
			}
			g, ok := s.third.host.Group(7)
			return ok && g.IsLeader() && g.Shard().Applied().Index >= last
		})
		if err := h.Release(context.Background()); err != nil {
			t.Fatal(err)
		}
		s.equal()
	})
}

// A leader is not held while others live: it hands over first.
func TestLeaderHandsOverBeforeItIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		old := s.leader
		h := s.hold(old)
		s.leader = s.testCluster.leader(7)
		if s.leader == old {
			t.Error("it leads")
		}
		s.write(3)
		if err := h.Release(context.Background()); err != nil {
			t.Fatal(err)
		}
		s.equal()
	})
}

// Alone it cannot be held: nothing has changed then.
func TestLeaderWhomNobodyFollowsIsNotHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 1, nil)
		c.bear(1, 7)
		g := c.leader(7)
		put(t, g, "dev", 1, 1)
		if _, err := g.TakeHold(context.Background(), "job"); !errors.Is(err, ErrNoTarget) {
			t.Errorf("held: %v", err)
		}
		put(t, g, "dev", 2, 1)
		if got := readAll(t, c.leader(7), "dev"); len(got) != 2 {
			t.Errorf("%v", got)
		}
	})
}

// A hold that does not come about leaves a replica that applies.
func TestReplicaThatCouldNotBeHeldApplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		in, err := s.replica().running()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.hold(ctx); err == nil || in.held() {
			t.Fatalf("held: %v", err)
		}
		// Entries are dropped before the view fails.
		if err := in.fsm.drop(context.Background()); err != nil {
			t.Fatal(err)
		}
		last := s.write(5)
		time.Sleep(2 * DefaultTimers().Commit)
		if err := in.shard.Abandon(); err != nil { // nothing can be viewed
			t.Fatal(err)
		}
		if _, err := s.replica().TakeHold(context.Background(), "job"); err == nil {
			t.Fatal("held")
		}
		s.applied2(s.target, last)
		s.equal()
		s.serves(s.target.id.Server(0).String())
	})
}

// A damaged log of a held replica is dealt with as ever, and the hold stands.
func TestHoldOutlivesARestartOfItsInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		replica := s.replica()
		h := s.hold(replica)
		at := h.View().Index()
		before, _ := replica.running()
		replica.host.LogDamaged(7, errors.New("entry 3: flip"))
		await(t, "another instance", 30*time.Second, func() bool {
			in, err := replica.running()
			return err == nil && in != before
		})
		last := s.write(5)
		await(t, "its log", 30*time.Second, func() bool { return replica.Status().LogLast >= last })
		if st := replica.Status(); st.State != ReplicaSyncing || st.AppliedIndex != at.Index || replica.Shard() != nil {
			t.Errorf("it applies: %+v", st)
		}
		c := s.cut()
		if err := s.install(h, c, false); err != nil {
			t.Fatal(err)
		}
		s.equal()
	})
}

// The host closes, or dies, under a hold of either kind.
func TestHostClosesUnderAHold(t *testing.T) {
	for _, kill := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t, false, nil)
			s.applied(7, s.write(5))
			s.hold(s.replica())
			other, _ := s.third.host.Group(7)
			other.host.damaged(7, errors.New("page 7: bad"))
			await(t, "the quarantine", 10*time.Second, func() bool { return !other.Running() })
			if h, err := other.TakeHold(context.Background(), "job"); err != nil || h.View() != nil {
				t.Errorf("a quarantined file is a base: %v", err)
			}
			for _, n := range []*testNode{s.target, s.third} {
				if kill {
					s.crash(n)
				} else {
					s.stop(n, true)
				}
				s.start(n)
			}
			s.equal()
		})
	}
}

// A replica whose hold has ended is not ready before it has started again: it has
// dropped entries.
func TestReplicaIsNotReadyBetweenItsHoldAndItsNextStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		replica := s.replica()
		h := s.hold(replica)
		s.write(5)
		time.Sleep(2 * DefaultTimers().Commit)
		replica.setHold(nil) // as Release and Install do first
		if st := replica.Status(); st.State != ReplicaSyncing || st.Why == "" || replica.mayLead() {
			t.Errorf("%s: %q", st.State, st.Why)
		}
		replica.setHold(h)
		if err := h.Release(context.Background()); err != nil {
			t.Fatal(err)
		}
		s.equal()
		s.serves(s.target.id.Server(0).String())
	})
}
