package raftgroup

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/hashicorp/raft"
)

// lostBy makes a candidate that has lost to a leader of its own term: two
// voters campaign at once, cut off from each other, and one of them has the
// third one's vote. The winner then has an entry that the loser may lack.
func lostBy(t *testing.T, c *testCluster) (winner, loser, third *Group) {
	t.Helper()
	c.bear(3, 7)
	winner = c.leader(7)
	put(t, winner, "dev", 1, 1)
	var others []*Group
	for i := range c.nodes {
		if g := c.group(i, 7); g != winner {
			others = append(others, g)
		}
	}
	loser, third = others[0], others[1]
	time.Sleep(2 * DefaultTimers().Commit) // every follower has applied it
	term := winner.Status().Term
	c.net.isolate(loser.Self().Name, true)
	if err := loser.host.Campaign(7, winner.Self(), term); err != nil {
		t.Fatal(err)
	}
	if err := third.host.Campaign(7, winner.Self(), term); err != nil {
		t.Fatal(err)
	}
	await(t, "the third one leads", time.Second, third.IsLeader)
	c.net.isolate(loser.Self().Name, false)
	winner, third = third, winner
	await(t, "a candidate that knows its leader", 5*time.Second, func() bool {
		in, err := loser.running()
		return err == nil && in.lostCandidacy()
	})
	return winner, loser, third
}

func (c *testCluster) nodeOf(g *Group) *testNode {
	for _, n := range c.nodes {
		if n.host == g.host {
			return n
		}
	}
	return nil
}

// Raft alone would stay without a leader for ever.
func TestLeaderDiesWhileACandidateThatLostToItIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		winner, loser, third := lostBy(t, c)
		// The loser's log ends below the third one's: it cannot win by itself.
		c.net.isolate(loser.Self().Name, true)
		put(t, winner, "dev", 2, 2)
		c.crash(c.nodeOf(winner))
		c.net.isolate(loser.Self().Name, false)
		in, err := loser.running()
		if err != nil || in.raft.State() != raft.Candidate {
			t.Fatalf("the loser is %v (%v): the test shows nothing", in.raft.State(), err)
		}
		await(t, "a leader", 60*time.Second, func() bool { return third.IsLeader() || loser.IsLeader() })
		if got := readAll(t, c.leader(7), "dev"); len(got) != 2 {
			t.Errorf("the new leader holds %v", got)
		}
	})
}

func TestFailoverCountsACandidateThatLostAmongTheFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		winner, loser, _ := lostBy(t, c)
		dead := winner.Self()
		await(t, "the loser's log is as long as the winner's", 4*time.Second, func() bool {
			ahead, err := winner.running()
			behind, e := loser.running()
			return err == nil && e == nil && behind.raft.LastIndex() == ahead.raft.LastIndex()
		})
		standings := loser.host.LedBy(dead.NodeID)
		if len(standings) != 1 || standings[0].Leader != dead {
			t.Fatalf("standings of the loser: %+v", standings)
		}
		if led := loser.host.LedBy(membership.NodeID{}); len(led) != 1 || !led[0].Leader.IsZero() {
			t.Errorf("it does not count as one without a leader too: %+v", led)
		}
		c.crash(c.nodeOf(winner))
		if err := loser.host.Campaign(7, dead, standings[0].CurrentTerm); err != nil {
			t.Fatal(err)
		}
		await(t, "the loser leads at once", time.Second, loser.IsLeader)
	})
}

// Two candidates of one term elect nobody; Raft's timers would take seconds.
func TestSplitVoteIsResolvedByOneCampaign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		dead := c.leader(7)
		put(t, dead, "dev", 1, 1)
		time.Sleep(2 * DefaultTimers().Commit) // every follower has applied it
		follows, term := dead.Self(), dead.Status().Term
		c.crash(c.nodeOf(dead))
		var split []*Group
		for i, n := range c.nodes {
			if n.host == nil {
				continue
			}
			g := c.group(i, 7)
			c.net.isolate(n.id.Name, true)
			if err := g.host.Campaign(7, follows, term); err != nil {
				t.Fatal(err)
			}
			split = append(split, g)
		}
		time.Sleep(100 * time.Millisecond) // the requests are lost
		for _, g := range split {
			c.net.isolate(g.Self().Name, false)
			led := g.host.LedBy(membership.NodeID{})
			if len(led) != 1 || led[0].CurrentTerm != term+1 {
				t.Fatalf("%s stands as %+v", g.Self(), led)
			}
		}
		if err := split[0].host.Campaign(7, membership.ServerID{}, term+1); err != nil {
			t.Fatal(err)
		}
		await(t, "the one that campaigned again leads", time.Second, split[0].IsLeader)
	})
}

// Each TimeoutNow would make it stay a candidate for longer, and never lead.
func TestNoLeadershipIsHandedToACandidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		winner, loser, third := lostBy(t, c)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := winner.TransferLeadership(ctx, loser.Self(), time.Second); !errors.Is(err, ErrNoTarget) {
			t.Errorf("transfer to a candidate: %v", err)
		}
		if err := winner.StepDown(ctx); err != nil {
			t.Fatal(err)
		}
		await(t, "the third one leads", time.Second, third.IsLeader)
	})
}

// A transfer that came to nothing: the target campaigned too late, with a log
// that had become too short, and still holds the old leader for the leader.
func TestDeposedLeaderIsElectedAgainBesideACandidate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		old := c.leader(7)
		put(t, old, "dev", 1, 1)
		time.Sleep(2 * DefaultTimers().Commit) // every follower has applied it
		var late, gone *Group
		for i := range c.nodes {
			if g := c.group(i, 7); g != old && late == nil {
				late = g
			} else if g != old {
				gone = g
			}
		}
		c.net.isolate(late.Self().Name, true)
		put(t, old, "dev", 2, 2)
		term := old.Status().Term
		c.crash(c.nodeOf(gone))
		if err := late.host.Campaign(7, old.Self(), term); err != nil {
			t.Fatal(err)
		}
		c.net.isolate(late.Self().Name, false)
		await(t, "the old leader hears of the term", 5*time.Second, func() bool { // it steps down first, then notes the term
			return !old.IsLeader() && old.Status().Term == late.Status().Term
		})
		standings := append(old.host.LedBy(membership.NodeID{}), late.host.LedBy(membership.NodeID{})...)
		if len(standings) != 2 || standings[0].CurrentTerm != standings[1].CurrentTerm {
			t.Fatalf("they stand as %+v", standings)
		}
		if err := old.host.Campaign(7, membership.ServerID{}, standings[0].CurrentTerm); err != nil {
			t.Fatal(err)
		}
		await(t, "the old leader leads again", time.Second, old.IsLeader)
	})
}
