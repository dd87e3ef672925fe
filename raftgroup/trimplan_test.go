package raftgroup

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
)

// A plan is what the trim then does, with a lease and without, and it changes nothing.
func TestTrimDoesWhatItsPlanSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		fill := func() {
			t.Helper()
			var last uint64
			for i := range 20 {
				last = put(t, leader, "dev", int64(i), 1)
			}
			c.applied(7, last)
		}
		check := func(when, why string) {
			t.Helper()
			for i := range 3 {
				g := c.group(i, 7)
				before := g.Status()
				plan, err := g.TrimPlan()
				if err != nil {
					t.Fatal(err)
				}
				if now := g.Status(); now.LogFirst != before.LogFirst || now.DurableIndex != before.DurableIndex {
					t.Fatalf("%s: the plan itself trimmed: %+v", when, now)
				}
				if err := g.Trim(context.Background()); err != nil {
					t.Fatal(err)
				}
				after := g.Status()
				if dropped := after.LogFirst - before.LogFirst; dropped != plan.Entries() || plan.First != before.LogFirst || !strings.Contains(plan.Why, why) || why == "" && plan.Why != "" {
					t.Errorf("%s: %s dropped %d entries (%d..%d, then %d..%d), the plan was %+v", when, g.Self(), dropped,
						before.LogFirst, before.LogLast, after.LogFirst, after.LogLast, plan)
				}
				if plan.Bytes >= 0 && before.LogBytes-after.LogBytes != plan.Bytes {
					t.Errorf("%s: %d bytes of log became %d, the plan was %d", when, before.LogBytes, after.LogBytes, plan.Bytes)
				}
			}
		}
		fill()
		check("all of the log", "")
		check("again", "")
		fill()
		if _, err := leader.Lease(context.Background(), storage.Lease{ID: "job-1", Purpose: "resync", TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		fill()
		check("under a lease", "a lease holds the log")
		check("under a lease, again", "a lease holds the log")
	})
}

func TestTrimPlanOfAReplicaThatMustWaitSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		put(t, c.leader(7), "dev", 1, 1)
		for _, n := range c.nodes {
			c.crash(n)
		}
		c.start(c.nodes[0])
		if plan, err := c.group(0, 7).TrimPlan(); err != nil || !strings.Contains(plan.Why, "would wait") {
			t.Errorf("%+v %v", plan, err)
		}
		if err := c.group(0, 7).Trim(context.Background()); !errors.Is(err, ErrNoQuorum) {
			t.Errorf("a trim that waits without end: %v", err)
		}
	})
}

func TestTransferTargetIsWhoThenLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		target, err := leader.TransferTarget(context.Background(), membership.ServerID{})
		if err != nil || target.IsZero() || target == leader.Self() {
			t.Fatalf("%s %v", target, err)
		}
		if !leader.IsLeader() {
			t.Fatal("the question moved the leadership")
		}
		for i := range 3 {
			if g := c.group(i, 7); g.Self() == leader.Self() {
				continue
			} else if _, err := g.TransferTarget(context.Background(), membership.ServerID{}); !errors.Is(err, ErrNotApplied) {
				t.Errorf("asked a follower: %v", err)
			}
		}
		if err := leader.StepDown(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := c.leader(7).Self(); got != target {
			t.Errorf("%s leads, the plan was %s", got, target)
		}
	})
}
