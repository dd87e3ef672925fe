package raftgroup

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// A suspect leader hands over at once, and does not lead again while another
// healthy voter lives: not by a transfer, and not when that leader dies.
func TestSuspectLeaderHandsOverForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		old := s.leader
		begun := time.Now()
		mustSuspect(t, old, Suspicion{Why: "differs", Leaves: []digest.Leaf{leafA}})
		await(t, "another leader", 10*time.Second, func() bool { return !old.IsLeader() })
		if took := time.Since(begun); took > time.Second {
			t.Errorf("it led for %v", took)
		}
		s.leader = s.testCluster.leader(7)
		s.applied(7, s.write(5))
		if in, err := old.running(); err != nil || in.raft.ReloadableConfig().HeartbeatTimeout != 2*DefaultTimers().Heartbeat {
			t.Errorf("its timers are like those of others: %v", err)
		}
		if err := s.leader.TransferLeadership(context.Background(), old.Self(), time.Second); !errors.Is(err, ErrNoTarget) {
			t.Errorf("it was given the leadership: %v", err)
		}
		st := old.Status()
		if st.State != ReplicaSuspect || !st.Running || st.Role != RoleFollower {
			t.Errorf("%+v", st)
		}
		for _, standing := range old.host.LedBy(s.leader.Self().NodeID) {
			if standing.Ready || !standing.Voter {
				t.Errorf("failover takes it for %+v", standing)
			}
		}
		// The other one dies: without failover, by Raft's timers, the third leads.
		var third *Group
		for _, n := range s.nodes {
			if g, _ := n.host.Group(7); g != old && g != s.leader {
				third = g
			}
		}
		s.crash(s.nodeOf2(s.leader))
		await(t, "the third to lead", 2*time.Minute, func() bool { return third.IsLeader() })
		s.leader = s.testCluster.leader(7)
		s.write(3) // with the vote and the log of the suspect one
		if err := old.Clear(); err != nil {
			t.Fatal(err)
		}
		if err := s.leader.TransferLeadership(context.Background(), old.Self(), time.Second); err != nil {
			t.Errorf("acquitted, it may not lead: %v", err)
		}
		in, err := old.running()
		if err != nil || in.raft.ReloadableConfig().HeartbeatTimeout != DefaultTimers().Heartbeat {
			t.Errorf("its timers stay long: %v", err)
		}
	})
}

// Where all are suspect one leads and serves; as soon as one is healthy it is that
// one's turn.
func TestGroupWithoutAHealthyVoterStillWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		for _, n := range s.nodes {
			g, _ := n.host.Group(7)
			mustSuspect(t, g, Suspicion{Why: "differs", Leaves: []digest.Leaf{leafB}})
		}
		time.Sleep(time.Minute)
		s.leader = s.testCluster.leader(7)
		s.applied(7, s.write(5))
		s.crash(s.nodeOf2(s.leader)) // and after a failure too
		s.leader = s.testCluster.leader(7)
		s.write(5)
		for _, n := range s.nodes {
			if n.host == nil {
				s.start(n)
			}
		}
		s.equal()
		var healthy *Group
		for _, n := range s.nodes {
			if g, _ := n.host.Group(7); !g.IsLeader() {
				healthy = g
			}
		}
		if err := healthy.Clear(); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		await(t, "the healthy one to lead", time.Minute, healthy.IsLeader)
		if took := time.Since(begun); took > suspectHandOverMax+2*time.Second {
			t.Errorf("after %v", took)
		}
		s.leader = s.testCluster.leader(7)
		s.write(1)
	})
}
