package raftgroup

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// I2: a leader that is cut off from the voters, and still sees a non-voter,
// confirms no read once another leader has acked a write.
func TestI2IsolatedLeaderWithNonVoterServesNoStaleRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 4, nil)
		c.bear(3, 7)
		old := c.leader(7)
		learner, err := c.nodes[3].host.Ensure(context.Background(), Want{Group: 7, Birth: c.births[7], Assigned: true})
		if err != nil {
			t.Fatal(err)
		}
		_, prev, err := old.Members()
		if err != nil {
			t.Fatal(err)
		}
		if err := old.AddNonvoter(context.Background(), learner.Self(), prev); err != nil {
			t.Fatal(err)
		}
		c.applied(7, put(t, old, "dev", 1, 1))
		if s := learner.Status(); s.Role != RoleLearner || s.State != ReplicaSyncing || s.Why == "" {
			t.Errorf("learner: %+v", s)
		}

		c.net.isolate(old.Self().Name, true, "n4")
		c.net.isolate("n4", true, old.Self().Name) // the learner hears of no other leader
		ctx, cancel := context.WithCancel(context.Background())
		var mu sync.Mutex
		superseded := false // the new leader has acked a write
		var stale, confirmed int
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for ctx.Err() == nil {
					mu.Lock()
					begun := superseded
					mu.Unlock()
					readCtx, done := context.WithTimeout(ctx, 300*time.Millisecond)
					err := old.ReadBarrier(readCtx)
					done()
					mu.Lock()
					if err == nil {
						confirmed++
						if begun {
							stale++
						}
					}
					mu.Unlock()
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
		// The survivors elect at once, as failover has them do; the old leader's
		// lease runs for seconds more.
		for i := range 3 {
			if g := c.group(i, 7); g != old {
				if err := c.nodes[i].host.Campaign(7, old.Self(), old.Status().Term); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		var fresh *Group
		await(t, "a new leader", 20*time.Second, func() bool {
			for i := range 3 {
				if g := c.group(i, 7); g != old && g.IsLeader() {
					fresh = g
					return true
				}
			}
			return false
		})
		put(t, fresh, "dev", 1, 2)
		mu.Lock()
		superseded = true
		mu.Unlock()
		if !old.IsLeader() {
			t.Error("the old leader has noticed: the test shows nothing")
		}
		time.Sleep(10 * time.Second)
		cancel()
		wg.Wait()
		if stale > 0 {
			t.Errorf("%d reads of the deposed leader were confirmed (%d in all)", stale, confirmed)
		}
		if got := readAll(t, c.leader(7), "dev"); got[1] != 2 {
			t.Errorf("the new leader holds %v", got)
		}
	})
}

// I2: a leader that reaches every voter, and does not know that they have
// elected another one, hears a higher term.
func TestI2DeposedLeaderHearsAHigherTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		old := c.leader(7)
		c.applied(7, put(t, old, "dev", 1, 1)) // who lacks an entry is elected by nobody
		c.net.setMute(old.Self().Name)         // Raft's messages are lost, ours pass
		for i := range 3 {
			if g := c.group(i, 7); g != old {
				if err := c.nodes[i].host.Campaign(7, old.Self(), old.Status().Term); err != nil {
					t.Fatal(err)
				}
				await(t, "the new leader", time.Second, g.IsLeader)
				put(t, g, "dev", 1, 2)
				break
			}
		}
		if !old.IsLeader() {
			t.Fatal("the old leader has noticed: the test shows nothing")
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := old.ReadBarrier(ctx); !errors.Is(err, ErrNoQuorum) {
			t.Errorf("read of a deposed leader: %v", err)
		}
		c.net.setMute("")
	})
}

func TestReadOfAFreshLeaderWaitsForItsOwnCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		for range 10 {
			leader := c.leader(7)
			index := put(t, leader, "dev", 1, 1)
			if err := leader.StepDown(context.Background()); err != nil {
				t.Fatal(err)
			}
			next := c.leader(7)
			if got := next.Shard().Applied().Index; got < index {
				t.Fatalf("confirmed a read at %d, %d was acked", got, index)
			}
		}
	})
}
