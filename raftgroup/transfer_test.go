package raftgroup

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

func TestPlannedTransferHoldsWritesAndLosesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		ctx, cancel := context.WithCancel(context.Background())
		acked := make(map[int64]int64)
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := int64(0); ctx.Err() == nil; i++ {
				time.Sleep(time.Millisecond) // pace: a loop that never waits stops virtual time
				for {
					leader := c.leader(7)
					_, err := leader.Propose(context.Background(), putFrame("dev", i, i))
					if err == nil {
						acked[i] = i
						break
					}
					if OutcomeOf(err) != OutcomeNotApplied {
						t.Errorf("a planned transfer left %v", err)
						break
					}
				}
			}
		})
		for round := range 6 {
			time.Sleep(20 * time.Millisecond)
			leader := c.leader(7)
			to := c.births[7].Voters[round%3]
			if to == leader.Self() {
				continue
			}
			start := time.Now()
			if err := leader.TransferLeadership(context.Background(), to, 0); err != nil {
				t.Fatalf("transfer to %s: %v", to, err)
			}
			if took := time.Since(start); took > DefaultMaxPause {
				t.Errorf("transfer took %v", took)
			}
			if got := c.leader(7).Self(); got != to {
				t.Errorf("%s leads, not %s", got, to)
			}
		}
		cancel()
		wg.Wait()
		if got := readAll(t, c.leader(7), "dev"); !maps.Equal(got, acked) {
			t.Errorf("%d points are there, %d were acked", len(got), len(acked))
		}
	})
}

func TestTransferToAPeerThatIsAwayIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 3, nil)
		c.bear(3, 7)
		leader := c.leader(7)
		var away membership.ServerID
		for _, v := range c.births[7].Voters {
			if v != leader.Self() {
				away = v
			}
		}
		c.net.isolate(away.Name, true)
		if err := leader.TransferLeadership(context.Background(), away, 0); !errors.Is(err, ErrNoTarget) {
			t.Errorf("transfer to a peer that is away: %v", err)
		}
		stranger := membership.NodeID{Name: "n9", Incarnation: "99999999"}.Server(0)
		if err := leader.TransferLeadership(context.Background(), stranger, 0); !errors.Is(err, ErrNoTarget) {
			t.Errorf("transfer to a stranger: %v", err)
		}
		put(t, leader, "dev", 1, 1)
	})
}
