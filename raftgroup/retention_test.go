package raftgroup

import (
	"context"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage"
)

// A retention drops what the log says, whenever a replica comes to apply or to
// write it: one was away for longer than everything is kept, one restarts and plays
// its log once more, and their flushes are minutes apart.
func TestRetentionIsTheLogsNotAClocks(t *testing.T) {
	const window, kept = time.Minute, 3 // windows
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, func(c *HostConfig) {
			c.TuneShard = func(o *storage.Options) { o.InitialMmapSize, o.Window = 1<<20, window }
		})
		at := func() int64 { return time.Now().UnixNano() }
		write := func() { // one of now, and one that comes late
			for _, at := range []int64{at(), at() - int64(window)} {
				s.want[at] = 1
				put(t, s.leader, "dev", at, 1)
			}
		}
		retain := func() {
			before := storage.WindowOf(at(), int64(window)) - kept
			if _, err := s.leader.Propose(context.Background(), storage.AppendRetain(nil, testDB, before)); err != nil {
				t.Fatal(err)
			}
			maps.DeleteFunc(s.want, func(at, _ int64) bool { return at < storage.WindowStart(before, int64(window)) })
		}
		flush := func(n *testNode) {
			g, _ := n.host.Group(7)
			if _, err := g.Shard().Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		write()
		s.crash(s.target)
		s.leader = s.testCluster.leader(7)
		for range 2 * kept {
			time.Sleep(window - 7*time.Second)
			write()
			retain()
			flush(s.nodeOf(s.leader))
		}
		time.Sleep(2 * kept * window) // by a clock nothing is kept any more
		flush(s.third)
		s.crash(s.third)
		s.start(s.third)
		s.start(s.target)
		s.leader = s.testCluster.leader(7)
		s.applied(7, put(t, s.leader, "other", 1, 1))
		if len(s.want) < kept {
			t.Fatalf("%d points are to be kept: the test shows nothing", len(s.want))
		}
		for _, n := range s.nodes {
			flush(n)
			time.Sleep(window)
		}
		s.equal()
	})
}
