package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

func put(t *testing.T, g *Group, device string, at, value int64) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	index, err := g.Propose(ctx, putFrame(device, at, value))
	if err != nil {
		t.Fatalf("propose to group %d on %s: %v", g.ID(), g.Self(), err)
	}
	return index
}

// applied waits until all running replicas have applied an index.
func (c *testCluster) applied(group uint32, index uint64) {
	c.t.Helper()
	await(c.t, fmt.Sprintf("index %d of group %d on all replicas", index, group), 30*time.Second, func() bool {
		for _, n := range c.nodes {
			if n.host == nil {
				continue
			}
			if g, ok := n.host.Group(group); ok && g.Shard() != nil && g.Shard().Applied().Index < index {
				return false
			}
		}
		return true
	})
}

func TestWriteIsAppliedByAllReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		start := time.Now()
		c.bear(3, 7)
		leader := c.leader(7)
		if took := time.Since(start); took > time.Second {
			t.Errorf("the first leader took %v", took)
		}
		if want := c.births[7].Voters[0]; leader.Self() != want {
			t.Errorf("%s leads, the primary is %s", leader.Self(), want)
		}
		var last uint64
		for i := range 20 {
			last = put(t, leader, "dev", int64(i), int64(100+i))
		}
		c.applied(7, last)
		want := readAll(t, leader, "dev")
		if len(want) != 20 || want[7] != 107 {
			t.Errorf("leader holds %v", want)
		}
		for i := range 3 {
			g := c.group(i, 7)
			if got := readAll(t, g, "dev"); !maps.Equal(got, want) {
				t.Errorf("%s holds %v", g.Self(), got)
			}
			if s := g.Status(); s.State != ReplicaReady || s.Why != "" || s.Leader != leader.Self() || s.LogFirst != 1 || len(s.Members) != 3 {
				t.Errorf("status %+v", s)
			}
			if g != leader {
				_, err := g.Propose(context.Background(), putFrame("dev", 1, 1))
				var notLeader ErrNotLeader
				if !errors.As(err, &notLeader) || notLeader.Leader != leader.Self() || OutcomeOf(err) != OutcomeNotApplied {
					t.Errorf("a follower takes writes: %v", err)
				}
				if err := g.ReadBarrier(context.Background()); !errors.As(err, &notLeader) {
					t.Errorf("a follower confirms reads: %v", err)
				}
			}
		}
	})
}

// I1: what was acked survives the kill of all nodes at once, with heads that
// were never flushed.
func TestI1AckedWritesSurviveTheKillOfAll(t *testing.T) {
	for _, engine := range []string{"shared", "boltdb"} {
		t.Run(engine, func(t *testing.T) { killAll(t, engine == "boltdb") })
	}
}

func killAll(t *testing.T, bolt bool) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestClusterOn(t, 3, bolt, nil)
		groups := []uint32{1, 2, 3, 4}
		c.bear(3, groups...)
		want := make(map[uint32]map[int64]int64)
		for round := range 3 {
			for _, id := range groups {
				leader := c.leader(id)
				if want[id] == nil {
					want[id] = make(map[int64]int64)
				}
				for i := range 10 {
					at := int64(round*10 + i)
					put(t, leader, "dev", at, at*3)
					want[id][at] = at * 3
				}
				if round == 1 { // of some groups the log then begins behind its start
					if err := leader.Trim(context.Background()); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, n := range c.nodes {
				c.crash(n)
			}
			for _, n := range c.nodes {
				c.start(n)
			}
		}
		for _, id := range groups {
			if got := readAll(t, c.leader(id), "dev"); !maps.Equal(got, want[id]) {
				t.Errorf("group %d holds %v, acked were %v", id, got, want[id])
			}
		}
	})
}

// I10: a leader without a quorum calls what is in its log unknown, and what
// never left its queue not applied.
func TestI10LostQuorumIsUnknownAndQueueIsNotApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, func(h *HostConfig) { h.InFlight = 1 })
		c.bear(3, 7)
		leader := c.leader(7)
		c.net.isolate(leader.Self().Name, true)
		proposed := leader.ProposeAsync(putFrame("dev", 1, 1), time.Now().Add(time.Second))
		synctest.Wait()
		queued := leader.ProposeAsync(putFrame("dev", 2, 2), time.Now().Add(time.Second))
		<-proposed.Done()
		<-queued.Done()
		if OutcomeOf(proposed.Err()) != OutcomeUnknown {
			t.Errorf("in the log: %v", proposed.Err())
		}
		if OutcomeOf(queued.Err()) != OutcomeNotApplied {
			t.Errorf("in the queue: %v", queued.Err())
		}
		late := leader.ProposeAsync(putFrame("dev", 3, 3), time.Time{})
		<-late.Done() // the lease ends
		if OutcomeOf(late.Err()) == OutcomeApplied {
			t.Error("acked without a quorum")
		}
		c.net.isolate(leader.Self().Name, false)
		next := c.leader(7)
		put(t, next, "dev", 9, 9)
		if got := readAll(t, next, "dev"); got[2] != 0 {
			t.Errorf("a write that was not applied is there: %v", got)
		}
	})
}

// I4: one cut, the same root on all replicas, while writes go on.
func TestI4CutGivesEqualRootsWhileWritesGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				for i := int64(0); ctx.Err() == nil; i++ {
					_, _ = leader.Propose(ctx, putFrame(fmt.Sprintf("dev%d", w), i, rand.Int64()))
					time.Sleep(time.Millisecond)
				}
			})
		}
		seen := make(map[digest.ID]bool)
		for round := range 5 {
			time.Sleep(50 * time.Millisecond)
			o := CutOptions{Purpose: "check", TTL: time.Minute}
			if round%2 == 1 {
				o.MaxPause = time.Second
			}
			cut, err := leader.CutWith(context.Background(), o)
			if err != nil {
				t.Fatal(err)
			}
			var roots [3]digest.ID
			for i := range 3 {
				rootCtx, done := context.WithTimeout(context.Background(), time.Second)
				root, at, err := c.group(i, 7).Root(rootCtx, cut.ID)
				done()
				if err != nil {
					t.Fatalf("root on n%d: %v", i+1, err)
				}
				if at != cut.Position {
					t.Errorf("n%d pinned %+v, the cut is at %+v", i+1, at, cut.Position)
				}
				roots[i] = root
			}
			if roots[0] != roots[1] || roots[0] != roots[2] {
				t.Errorf("roots differ at %+v: %v", cut.Position, roots)
			}
			if seen[roots[0]] {
				t.Error("two cuts between writes have one root")
			}
			seen[roots[0]] = true
			if _, err := leader.End(context.Background(), cut.ID); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		wg.Wait()
	})
}

func TestFollowersLearnOfACutAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		c.applied(7, put(t, leader, "dev", 1, 1))
		start := time.Now()
		id, _, err := leader.Cut(context.Background(), "check", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if _, _, err := c.group(i, 7).Root(context.Background(), id); err != nil {
				t.Errorf("root on n%d: %v", i+1, err)
			}
		}
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("the followers pinned the cut after %v", took)
		}
	})
}

// I8 with a real group: writes wait behind the fence and none fails; an owner
// that dies is no harm.
func TestI8WritesWaitBehindTheFenceOfADeadOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		fence, err := leader.Fence("dead", 200*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if _, err := leader.Propose(context.Background(), putFrame("dev", int64(i), 1)); err != nil {
					t.Errorf("write behind the fence: %v", err)
				}
				if time.Since(start) < 200*time.Millisecond {
					t.Error("a write passed the fence")
				}
			})
		}
		wg.Wait()
		if fence.Err() == nil {
			t.Error("the fence did not expire")
		}
	})
}

func TestNoSpaceRefusesDataAndKeepsVoting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		for _, n := range c.nodes {
			if n.id == leader.Self().NodeID {
				n.host.SetNoSpace(true)
				if _, err := leader.Propose(context.Background(), putFrame("dev", 1, 1)); !errors.Is(err, ErrNoSpace) {
					t.Errorf("below the reserve: %v", err)
				}
				if left := n.host.HandOver(context.Background()); left != 0 {
					t.Errorf("still leads %d groups", left)
				}
			}
		}
		put(t, c.leader(7), "dev", 1, 1)
	})
}
