package raftgroup

import (
	"context"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage"
)

func TestPlanLeaseEnds(t *testing.T) {
	a, b, c := pinnedLog{1, 400, "a"}, pinnedLog{2, 501, "b"}, pinnedLog{3, 10, "c"}
	for _, tt := range []struct {
		name   string
		pinned []pinnedLog
		budget int64
		want   []pinnedLog
	}{
		{"Nothing", nil, 1000, nil},
		{"NoBudget", []pinnedLog{b}, 0, nil},
		{"AloneBelowHalf", []pinnedLog{a}, 1000, nil},
		{"AloneAtHalf", []pinnedLog{{1, 500, "a"}}, 1000, nil},
		{"AloneBeyondHalf", []pinnedLog{b}, 1000, []pinnedLog{b}},
		{"TwoShare", []pinnedLog{a, c}, 1000, []pinnedLog{a}},
		{"AllBeyond", []pinnedLog{a, b}, 100, []pinnedLog{a, b}},
	} {
		if got := planLeaseEnds(tt.pinned, tt.budget); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// A lease whose follower never comes back ends before it fills the disk, the one
// that reaches back furthest first, and the log shrinks.
func TestLeaseThatPinsTooMuchOfTheLogEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const retention = 256 << 10
		c := newTestCluster(t, 1, func(h *HostConfig) { h.LogRetention = retention })
		c.bear(1, 7)
		leader := c.leader(7)
		take := func(id string, from uint64) {
			if _, err := leader.Lease(context.Background(), storage.Lease{ID: id, TTL: 24 * time.Hour, From: from}); err != nil {
				t.Fatal(err)
			}
		}
		write := func(n int) {
			for i := range n {
				if _, err := leader.Propose(context.Background(), frame(i, 4<<10)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(3 * trimInterval)
		}
		write(5)
		take("young", 0)
		write(5)
		take("old", 2)
		write(10) // 80 KiB in all
		if got := leader.Shard().Leases(); len(got) != 2 {
			t.Fatalf("leases %+v", got)
		}
		write(16) // 148 KiB from entry 2 on, 124 KiB from the other
		if got := leader.Shard().Leases(); len(got) != 1 || got[0].ID != "young" {
			t.Fatalf("leases %+v", got)
		}
		write(30)
		if got := leader.Shard().Leases(); len(got) != 0 {
			t.Fatalf("leases %+v", got)
		}
		write(30)
		if n := c.nodes[0].engine.Bytes(); n > retention {
			t.Errorf("the log takes %d", n)
		}
	})
}
