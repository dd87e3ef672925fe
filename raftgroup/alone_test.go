package raftgroup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The only replica of a group has nobody that could bring it back. It does not lead
// without its log, it says so and what a person can do, at every start, and what it
// has left is there to be read.
func TestOnlyReplicaThatLostItsLogSaysSo(t *testing.T) {
	for _, bolt := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newTestClusterOn(t, 1, bolt, nil)
			c.bear(1, 7)
			g := c.leader(7)
			c.applied(7, put(t, g, "dev", 1, 1))
			n := c.nodes[0]
			path := n.host.shardPath(7)
			c.stop(n, true)
			lost := filepath.Join(n.dir, "log")
			if bolt {
				lost = filepath.Join(filepath.Dir(path), "raft.db")
			}
			if err := os.RemoveAll(lost); err != nil {
				t.Fatal(err)
			}
			for _, start := range []string{"first start", "second start"} {
				c.start(n)
				g, _ := n.host.Group(7)
				time.Sleep(time.Minute)
				s := g.Status()
				if strings.Contains(s.Why, whyUnadded) || s.Role != RoleLearner || s.State != ReplicaSyncing || !strings.HasSuffix(s.Why, whyAlone) || len(readAll(t, g, "dev")) != 1 {
					t.Errorf("%s: %v, %v, why %q", start, s.Role, s.State, s.Why)
				}
				c.stop(n, true)
			}
		})
	}
}

// A replica of several that lost its log waits for the others, and says nothing of
// backups.
func TestReplicaThatLostItsLogIsNotTakenForTheOnlyOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		c.applied(7, put(t, leader, "dev", 1, 1))
		n := c.aFollower(leader)
		c.stop(n, true)
		if err := os.RemoveAll(filepath.Join(n.dir, "log")); err != nil {
			t.Fatal(err)
		}
		c.start(n)
		g, _ := n.host.Group(7)
		if s := g.Status(); s.Role != RoleLearner || strings.Contains(s.Why, "backup") {
			t.Errorf("%v, why %q", s.Role, s.Why)
		}
	})
}

// The only replica of a group whose shard is gone and whose log begins behind that
// changes nothing: the file, put back, is enough.
func TestOnlyReplicaGoesOnWithItsShardPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 1, nil)
		c.bear(1, 7)
		g := c.leader(7)
		c.applied(7, put(t, g, "dev", 1, 1))
		if err := g.Trim(t.Context()); err != nil {
			t.Fatal(err)
		}
		n := c.nodes[0]
		path := n.host.shardPath(7)
		c.stop(n, true)
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		c.start(n)
		g, _ = n.host.Group(7)
		s := g.Status()
		if _, err := os.Stat(path); s.State != ReplicaQuarantined || !strings.Contains(s.Why, "shard is missing") || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v, why %q, %v", s.State, s.Why, err)
		}
		c.stop(n, true)
		if err := os.Rename(path+".away", path); err != nil {
			t.Fatal(err)
		}
		c.start(n)
		c.applied(7, put(t, c.leader(7), "dev", 2, 2))
		if g, _ = n.host.Group(7); len(readAll(t, g, "dev")) != 2 {
			t.Error("not all is there")
		}
	})
}
