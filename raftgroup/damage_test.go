package raftgroup

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestDamagedLogStartsAgainBehindWhatIsApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		c.applied(7, put(t, leader, "dev", 1, 1))
		var host *Host
		for _, n := range c.nodes {
			if n.id == leader.Self().NodeID {
				host = n.host
			}
		}
		first, err := leader.running()
		if err != nil {
			t.Fatal(err)
		}
		host.LogDamaged(7, errors.New("entry 2: bad CRC"))
		await(t, "the instance to be replaced", 10*time.Second, func() bool {
			in, err := leader.running()
			return err == nil && in != first
		})
		next := c.leader(7)
		c.applied(7, put(t, next, "dev", 2, 2))
		if got := readAll(t, leader, "dev"); len(got) != 2 {
			t.Errorf("it holds %v", got)
		}
	})
}

// The replica's log begins behind the bad entry from then on: led by it again, a
// follower that is behind could not catch up.
func TestDamagedLeaderHandsOverAlsoDuringATransfer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		c.applied(7, put(t, leader, "dev", 1, 1))
		if _, err := leader.Fence("transfer to a third", 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		leader.host.LogDamaged(7, errors.New("entry 2: bad CRC"))
		began := time.Now()
		await(t, "another leader", 10*time.Second, func() bool {
			return !leader.IsLeader() && c.leader(7) != leader
		})
		if took := time.Since(began); took > time.Second {
			t.Errorf("another one led after %v", took)
		}
	})
}

func TestDamagedShardIsQuarantinedAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		c.applied(7, put(t, leader, "dev", 1, 1))
		var n *testNode
		for _, candidate := range c.nodes {
			if candidate.id != leader.Self().NodeID {
				n = candidate
			}
		}
		path := n.host.shardPath(7)
		c.stop(n, true)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range min(len(b), 3*4096) {
			b[i] ^= 0xff
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		c.start(n)
		g, _ := n.host.Group(7)
		s := g.Status()
		if s.State != ReplicaQuarantined || strings.Count(s.Why, "shard is damaged") != 1 || s.Running || g.Shard() != nil {
			t.Errorf("status %+v", s)
		}
		if _, err := g.Propose(context.Background(), putFrame("dev", 1, 1)); OutcomeOf(err) != OutcomeNotApplied {
			t.Errorf("propose to a quarantined replica: %v", err)
		}
		if _, err := n.host.Ensure(context.Background(), g.wanted); err != nil {
			t.Errorf("asked again: %v", err)
		}
		put(t, c.leader(7), "dev", 2, 2) // the others go on
	})
}
