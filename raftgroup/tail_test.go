package raftgroup

import (
	"context"
	"maps"
	"testing"
	"testing/synctest"
	"time"
)

// A leader whose log was trimmed to its last entry is cut off and appends what
// nobody else has. It comes back: its tail goes, and nothing else is needed.
func TestTailBehindATrimmedLogIsReplaced(t *testing.T) {
	for _, engine := range []string{"shared", "boltdb"} {
		t.Run(engine, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTestClusterOn(t, 3, engine == "boltdb", nil)
				c.bear(3, 7)
				old := c.leader(7)
				want := map[int64]int64{1: 1, 2: 2, 3: 3}
				put(t, old, "dev", 1, 1)
				c.applied(7, put(t, old, "dev", 2, 2))
				time.Sleep(2 * DefaultTimers().Commit) // every follower has applied it
				for i := range c.nodes {
					if err := c.group(i, 7).Trim(context.Background()); err != nil {
						t.Fatal(err)
					}
				}
				c.net.isolate(old.Self().Name, true)
				in, err := old.running()
				if err != nil {
					t.Fatal(err)
				}
				before := in.raft.LastIndex()
				for i := int64(10); i < 13; i++ {
					in.raft.Apply(putFrame("dev", i, i), 0)
				}
				await(t, "a tail of its own", time.Second, func() bool { return in.raft.LastIndex() > before })
				host := c.nodeOf(old)
				await(t, "another leader", time.Minute, func() bool {
					for _, n := range c.nodes {
						if g, _ := n.host.Group(7); n != host && g.IsLeader() {
							return true
						}
					}
					return false
				})
				for _, n := range c.nodes {
					if g, _ := n.host.Group(7); n != host && g.IsLeader() {
						put(t, g, "dev", 3, 3)
					}
				}
				c.net.isolate(old.Self().Name, false)
				leader := c.leader(7)
				c.applied(7, put(t, leader, "dev", 3, 3))
				if gaps := leader.Status().Gaps; len(gaps) > 0 {
					t.Errorf("gaps %+v", gaps)
				}
				if got := readAll(t, old, "dev"); !maps.Equal(got, want) {
					t.Errorf("it holds %v", got)
				}
			})
		})
	}
}
