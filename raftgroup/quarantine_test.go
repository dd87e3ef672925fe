package raftgroup

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// aFollower is a node that holds a follower of a group.
func (c *testCluster) aFollower(leader *Group) *testNode {
	for _, n := range c.nodes {
		if n.id != leader.Self().NodeID {
			return n
		}
	}
	return nil
}

// A replica whose shard went bad while it ran stays in quarantine when the
// table changes and when its node starts again, though the file opens well.
func TestQuarantineOutlivesTableChangesAndRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		c.applied(7, put(t, leader, "dev", 1, 1))
		n := c.aFollower(leader)
		check := func(when string) {
			t.Helper()
			g, _ := n.host.Group(7)
			s := g.Status()
			if s.Running || s.State != ReplicaQuarantined || !strings.Contains(s.Why, "page 7: bad") {
				t.Errorf("%s: %v, running %v, why %q", when, s.State, s.Running, s.Why)
			}
		}
		n.host.damaged(7, errors.New("page 7: bad"))
		await(t, "the quarantine", 10*time.Second, func() bool {
			g, _ := n.host.Group(7)
			return !g.Running()
		})
		for _, birth := range []bool{true, false} { // what a change of the table asks for, and what a start does
			w := Want{Group: 7, Assigned: true}
			if birth {
				w.Birth = c.births[7]
			}
			if _, err := n.host.Ensure(t.Context(), w); err != nil {
				t.Error(err)
			}
			check("asked for again")
		}
		c.stop(n, true)
		c.start(n)
		check("after a restart")
		put(t, c.leader(7), "dev", 2, 2) // the others go on
	})
}

// The mark is about one file: where that was taken away, the log is played into
// a new one.
func TestQuarantineEndsWithItsFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		c.applied(7, put(t, leader, "dev", 1, 1))
		n := c.aFollower(leader)
		n.host.damaged(7, errors.New("page 7: bad"))
		await(t, "the quarantine", 10*time.Second, func() bool {
			g, _ := n.host.Group(7)
			return !g.Running()
		})
		path, mark := n.host.shardPath(7), n.host.markPath(7)
		c.stop(n, true)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		c.start(n)
		g, _ := n.host.Group(7)
		await(t, "the log to be played", 30*time.Second, func() bool {
			return g.Running() && len(readAll(t, g, "dev")) == 1
		})
		if s := g.Status(); s.State != ReplicaReady {
			t.Errorf("%v: %s", s.State, s.Why)
		}
		if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the mark is left: %v", err)
		}
	})
}
