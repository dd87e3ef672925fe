package raftgroup

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

func TestAll256GroupsOnThreeHostsElect(t *testing.T) {
	if testing.Short() {
		t.Skip("768 shard files")
	}
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		groups := make([]uint32, 256)
		for i := range groups {
			groups[i] = uint32(i)
		}
		start := time.Now()
		c.bear(3, groups...)
		leaders := make(map[membership.NodeID]int)
		for _, id := range groups {
			leaders[c.leader(id).Self().NodeID]++
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("all groups are led after %v", took)
		}
		for _, n := range c.nodes {
			if leaders[n.id] < 60 {
				t.Errorf("%s leads %d of 256 groups", n.id.Name, leaders[n.id])
			}
		}
	})
}

func TestNextVoterLeadsWhenThePrimaryIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.stop(c.nodes[1], false) // the primary of group 7 (7 mod 3)
		b := membership.Birth{Group: 7, Lineage: lineageOne, Epoch: 1}
		for i := range 3 {
			b.Voters = append(b.Voters, c.nodes[(7+i)%3].id.Server(0))
		}
		c.births[7] = &b
		start := time.Now()
		for _, i := range []int{0, 2} {
			if _, err := c.nodes[i].host.Ensure(context.Background(), Want{Group: 7, Birth: &b, Assigned: true}); err != nil {
				t.Fatal(err)
			}
		}
		leader := c.leader(7)
		if took := time.Since(start); took > time.Second || leader.Self() != b.Voters[1] {
			t.Errorf("%s leads after %v", leader.Self(), took)
		}
		put(t, leader, "dev", 1, 1)
	})
}

func TestServerThatIsNotListedNeverBootstraps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 2, nil)
		b := &membership.Birth{Group: 7, Lineage: lineageOne, Voters: []membership.ServerID{c.nodes[0].id.Server(0)}, Epoch: 1}
		if _, err := c.nodes[1].host.Ensure(context.Background(), Want{Group: 7, Birth: b}); !errors.Is(err, ErrUnknownGroup) {
			t.Errorf("neither listed nor assigned: %v", err)
		}
		if len(c.nodes[1].host.Groups()) != 0 {
			t.Error("the group is there")
		}
		g, err := c.nodes[1].host.Ensure(context.Background(), Want{Group: 7, Birth: b, Assigned: true})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if s := g.Status(); s.Term > 1 || s.LogLast != 0 || s.State != ReplicaSyncing {
			t.Errorf("a joiner on its own: %+v", s)
		}
	})
}

func TestGroupIsBornOnceHoweverOftenTheNodeStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 1, nil)
		c.bear(1, 7)
		put(t, c.leader(7), "dev", 1, 1)
		for range 3 {
			c.stop(c.nodes[0], true)
			c.start(c.nodes[0])
		}
		leader := c.leader(7)
		if s := leader.Status(); s.Term < 2 || len(readAll(t, leader, "dev")) != 1 || s.Self.Generation != 0 {
			t.Errorf("after restarts: %+v", s)
		}
	})
}

// A voter whose vote record is lost comes back as a new server: first without a
// vote, then with one.
func TestVoterWithoutItsVoteRecordReturnsAsANewServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		put(t, leader, "dev", 1, 1)
		var lost *testNode
		for _, n := range c.nodes {
			if n.id != leader.Self().NodeID {
				lost = n
			}
		}
		c.applied(7, put(t, leader, "dev", 2, 2))
		if err := lost.votes.Remove(7); err != nil {
			t.Fatal(err)
		}
		c.crash(lost)
		// Raft wrote its record again at times; take it out behind the crash.
		removeVote(t, lost, 7)
		c.start(lost)
		g, ok := lost.host.Group(7)
		if !ok || g.Self() != lost.id.Server(1) {
			t.Fatalf("it came back as %s", g.Self())
		}
		if s := g.Status(); s.Role != RoleLearner || s.State != ReplicaSyncing {
			t.Errorf("status %+v", s)
		}
		for _, step := range []func(context.Context, membership.ServerID, uint64) error{leader.AddNonvoter, leader.AddVoter} {
			_, prev, err := leader.Members()
			if err != nil {
				t.Fatal(err)
			}
			if err := step(context.Background(), g.Self(), prev-1); !errors.Is(err, ErrStaleConfiguration) && err == nil {
				t.Errorf("a change from a stale configuration: %v", err)
			}
			if err := step(context.Background(), g.Self(), prev); err != nil {
				t.Fatal(err)
			}
			c.applied(7, put(t, leader, "dev", 3, int64(prev)))
		}
		_, prev, _ := leader.Members()
		if err := leader.RemoveServer(context.Background(), lost.id.Server(0), prev); err != nil {
			t.Fatal(err)
		}
		await(t, "the replica to be ready", 10*time.Second, func() bool {
			s := g.Status()
			return s.State == ReplicaReady && s.Why == "" && s.Role == RoleFollower
		})
		if got := readAll(t, g, "dev"); len(got) != 3 || got[1] != 1 || got[2] != 2 {
			t.Errorf("it holds %v", got)
		}
		// and it stays so over a restart
		c.stop(lost, true)
		c.start(lost)
		if g, _ := lost.host.Group(7); g.Self() != lost.id.Server(1) {
			t.Errorf("after a restart it is %s", g.Self())
		}
	})
}
