package raftgroup

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage/raftlog"
)

// An entry that nobody reads goes bad on disk: a scrub finds it, the replica starts
// again without it, nothing is lost, and the next scrub finds nothing.
func TestRotThatAScrubFinds(t *testing.T) {
	for _, bolt := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, lines := newRotCluster(t, bolt)
			leader := c.leader(7)
			frame := putFrame("rotten", 11, 12)
			if _, err := leader.Propose(context.Background(), frame); err != nil {
				t.Fatal(err)
			}
			c.applied(7, put(t, leader, "dev", 1, 1))
			fill(t, c)
			n := c.nodeOf(leader)
			rot(t, n, frame)
			scrub := func() (bad []raftlog.BadRecord) {
				for cursor := ""; ; {
					next, _, found, err := n.engine.Scrub(context.Background(), cursor, 64<<10)
					if err != nil {
						t.Fatal(err)
					}
					if bad, cursor = append(bad, found...), next; next == "" {
						return bad
					}
				}
			}
			bad := scrub()
			if !slices.ContainsFunc(bad, func(b raftlog.BadRecord) bool { return b.Group == 7 && b.Index > 0 && !b.Harmless }) {
				t.Fatalf("bolt %v: found %+v", bolt, bad)
			}
			await(t, "the restart", time.Minute, func() bool { return len(lines.all()) > 0 || bad[0].Mended })
			c.leader(7)
			mustBeEqual(t, c, 7)
			if bad := scrub(); slices.ContainsFunc(bad, func(b raftlog.BadRecord) bool { return !b.Harmless }) {
				t.Errorf("bolt %v: found again: %+v", bolt, bad)
			}
			if got := readAll(t, c.leader(7), "rotten"); got[11] != 12 {
				t.Errorf("bolt %v: what was acked is gone: %v", bolt, got)
			}
		})
	}
}
