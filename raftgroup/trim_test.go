package raftgroup

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/raftlog"
)

func removeVote(t *testing.T, n *testNode, group uint32) {
	t.Helper()
	v, err := raftlog.OpenVotes(filepath.Join(n.dir, "votes.db"), raftlog.VotesOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Remove(group); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTrimDropsTheLogUpToApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		var last uint64
		for i := range 30 {
			last = put(t, leader, "dev", int64(i), 1)
		}
		c.applied(7, last)
		for i := range 3 {
			g := c.group(i, 7)
			if err := g.Trim(context.Background()); err != nil {
				t.Fatalf("trim on %s: %v", g.Self(), err)
			}
			if s := g.Status(); s.LogFirst < last || s.LogLast < last || s.DurableIndex < last {
				t.Errorf("after the trim: %+v", s)
			}
		}
		put(t, leader, "dev", 100, 1)
		for _, n := range c.nodes {
			c.crash(n)
		}
		for _, n := range c.nodes {
			c.start(n)
		}
		if got := readAll(t, c.leader(7), "dev"); len(got) != 31 {
			t.Errorf("%d points after a trim and a crash of all", len(got))
		}
	})
}

// I7: nothing under a live lease is dropped, in a running group or behind a
// restart, when the lease is only in the log.
func TestI7TrimKeepsWhatALeaseHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		put(t, leader, "dev", 1, 1)
		held, err := leader.Lease(context.Background(), storage.Lease{ID: "job-1", Purpose: "resync", TTL: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		var last uint64
		for i := range 20 {
			last = put(t, leader, "dev", int64(i+2), 1)
		}
		c.applied(7, last)
		check := func(when string) {
			t.Helper()
			for i := range 3 {
				g := c.group(i, 7)
				if err := g.Trim(context.Background()); err != nil {
					t.Fatalf("%s: trim: %v", when, err)
				}
				if s := g.Status(); s.LogFirst == 0 || s.LogFirst > held {
					t.Errorf("%s: %s begins at %d, the lease holds %d", when, g.Self(), s.LogFirst, held)
				}
			}
		}
		// The lease is in the log only: a trim at the first moment of the new life
		// must not run ahead of it.
		for _, n := range c.nodes {
			c.crash(n)
		}
		c.start(c.nodes[0]) // alone: nothing can be applied yet
		alone := c.group(0, 7)
		in, err := alone.running()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if err := alone.Trim(ctx); err == nil || in.leasesKnown() || in.floor() != 0 {
			t.Errorf("trim before anything of this life was applied: %v, floor %d", err, in.floor())
		}
		c.start(c.nodes[1])
		c.start(c.nodes[2])
		leader = c.leader(7) // an election may take longer than a trim waits for one
		check("after the crash")
		check("while it leads")
		if _, err := leader.End(context.Background(), "job-1"); err != nil {
			t.Fatal(err)
		}
		c.applied(7, put(t, leader, "dev", 99, 1))
		for i := range 3 {
			// What the lease has kept goes without another trim.
			g := c.group(i, 7)
			if err := newTrimmer(g.host).complete(); err != nil {
				t.Fatal(err)
			}
			if s := g.Status(); s.LogFirst <= held {
				t.Errorf("the lease has ended, %s still begins at %d", g.Self(), s.LogFirst)
			}
		}
	})
}

// I7: what the shard's file does not hold stays in the log, whatever Raft or
// the scheduler want to delete.
func TestI7TrimKeepsWhatIsNotDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 1, nil)
		c.bear(1, 7)
		leader := c.leader(7)
		for i := range 10 {
			put(t, leader, "dev", int64(i), 1)
		}
		in, err := leader.running()
		if err != nil {
			t.Fatal(err)
		}
		durable := in.shard.Durable().Index
		in.trimming.through.Store(1 << 40)
		if floor := in.floor(); floor != durable+1 {
			t.Errorf("floor %d, durable applied %d", floor, durable)
		}
		in.trimming.through.Store(0)
		if floor := in.floor(); floor > 1 {
			t.Errorf("floor %d while nobody trims", floor)
		}
	})
}

func TestReplicaBehindTheLogRaisesTheGapAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		var behind *testNode
		for _, n := range c.nodes {
			if n.id != leader.Self().NodeID {
				behind = n
			}
		}
		c.applied(7, put(t, leader, "dev", 1, 1))
		c.stop(behind, true)
		for i := range 10 {
			put(t, leader, "dev", int64(i), 2)
		}
		if err := leader.Trim(context.Background()); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			put(t, leader, "dev", int64(i), 3)
		}
		c.start(behind)
		await(t, "the gap alarm", 30*time.Second, func() bool {
			gaps := leader.Status().Gaps
			return len(gaps) == 1 && gaps[0].Peer == behind.id.Server(0) && gaps[0].WhyBehind() != ""
		})
		put(t, leader, "dev", 1, 4)
	})
}

func TestTrimmerKeepsTheRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const retention = 256 << 10
		c := newTestCluster(t, 1, func(h *HostConfig) { h.LogRetention = retention })
		c.bear(1, 7, 8)
		for i := range 400 {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			_, err := c.leader(uint32(7+i%2)).Propose(ctx, frame(i, 4<<10))
			cancel()
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second / 4)
		}
		await(t, "the log to shrink", time.Minute, func() bool {
			return c.nodes[0].engine.Bytes() <= retention
		})
		for _, id := range []uint32{7, 8} {
			if s := c.leader(id).Status(); s.LogFirst <= 1 {
				t.Errorf("group %d was not trimmed: %+v", id, s)
			}
		}
	})
}

// A replica that lives and is a few entries behind gets them all the same,
// when the others are trimmed only as far as it has told.
func TestTrimThroughSparesAReplicaThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		var behind *testNode
		var replica *Group
		for i, n := range c.nodes {
			if n.id != leader.Self().NodeID {
				behind, replica = n, c.group(i, 7)
			}
		}
		c.applied(7, put(t, leader, "dev", 1, 1))
		c.net.isolate(behind.id.Name, true)
		var last uint64
		for i := range 20 {
			last = put(t, leader, "dev", int64(i+2), 2)
		}
		told, err := replica.TrimPlan()
		if err != nil || told.LastIndex >= last || told.LastTerm != told.Term || told.Applied > told.LastIndex {
			t.Fatalf("%+v %v", told, err)
		}
		for i := range 3 {
			if g := c.group(i, 7); g != replica {
				if err := g.TrimThrough(context.Background(), told.LastIndex); err != nil {
					t.Fatal(err)
				}
				if s := g.Status(); s.LogFirst != told.LastIndex {
					t.Errorf("the log of %s begins at %d, the replica has %d", g.Self(), s.LogFirst, told.LastIndex)
				}
				// Nor does the scheduler drop it afterwards.
				if err := newTrimmer(g.host).complete(); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.net.isolate(behind.id.Name, false)
		await(t, "the replica to catch up from the log", time.Minute, func() bool {
			return replica.Status().AppliedIndex >= last
		})
		if gaps := c.leader(7).Status().Gaps; len(gaps) > 0 {
			t.Errorf("%+v", gaps)
		}
	})
}

// What a restarted node does not know of its log's age costs no history.
func TestTrimmerKeepsMostOfTheLogAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const retention = 256 << 10
		c := newTestCluster(t, 1, func(h *HostConfig) { h.LogRetention = retention })
		c.bear(1, 7, 8)
		written := 0
		write := func() {
			g := c.leader(uint32(7 + written%2))
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if _, err := g.Propose(ctx, frame(written, 4<<10)); err != nil {
				t.Fatal(err)
			}
			written++
		}
		for c.nodes[0].engine.Bytes() < retention*95/100 {
			write()
		}
		c.stop(c.nodes[0], true)
		c.start(c.nodes[0])
		trimmed := func() bool {
			return c.leader(7).Status().LogFirst > 1 && c.leader(8).Status().LogFirst > 1
		}
		for c.nodes[0].engine.Bytes() <= retention {
			write()
		}
		await(t, "a trim", time.Minute, trimmed)
		time.Sleep(2 * trimInterval) // virtual: the round is over
		if n := c.nodes[0].engine.Bytes(); n > retention || n < retention*3/4 {
			t.Errorf("of a log of %d bytes is left what takes %d", retention, n)
		}
	})
}
