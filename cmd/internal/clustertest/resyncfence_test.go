package clustertest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/client"
)

// I8: a write that meets a fence waits and succeeds, in order. The commit of the
// cut is held back by a slow network, so the fence is held for that long.
func TestI8WritesHeldByAFenceSucceedInOrder(t *testing.T) {
	Run(t, 3*time.Minute, func(t *testing.T) {
		const slow = 50 * time.Millisecond // one way
		c := StartNew(t, 3, nil)
		if _, err := c.Client().Write(t.Context(), batch("flood", 1000, 1, 1)); err != nil {
			t.Fatal(err)
		}
		device := c.ledBy(0)
		g, _ := c.Group(0, groupOf(device))
		c.Delay(0, slow)
		cut := make(chan raftgroup.CutResult, 1)
		go func() {
			r, err := g.CutWith(context.Background(), raftgroup.CutOptions{Purpose: "test", TTL: cutTTL, MaxPause: time.Second})
			if err != nil {
				t.Errorf("cut: %v", err)
			}
			cut <- r
		}()
		c.Await("the fence is up", time.Second, func() string {
			if g.Status().Fences.Raised == 0 {
				return "it is not"
			}
			return ""
		})
		raised := time.Now()
		const writes = 5
		k := c.Client(0)
		var wg sync.WaitGroup
		acked := make([]time.Duration, writes)
		for i := range writes {
			wg.Go(func() {
				if _, err := k.Write(t.Context(), []client.Point{point(device, 2, int64(i))}); err != nil {
					t.Errorf("write %d: %v", i, err)
				}
				acked[i] = time.Since(raised)
			})
			time.Sleep(time.Millisecond)
		}
		if queued := g.Status().Queued; queued == 0 {
			t.Error("no write waits at the fence")
		}
		made := <-cut
		wg.Wait()
		t.Logf("fenced for %v, the writes were acked after %v", made.Fenced, acked)
		if made.Fenced < 2*slow || made.Fenced > 3*slow+20*time.Millisecond {
			t.Errorf("the fence was held for %v, a commit takes %v", made.Fenced, 2*slow)
		}
		for i, took := range acked {
			if took < made.Fenced || took > made.Fenced+4*slow {
				t.Errorf("write %d was acked %v after the fence of %v went up", i, took, made.Fenced)
			}
		}
		if v := valueOfAt(t, c, device, 2); v != writes-1 {
			t.Errorf("the writes were applied in another order: the last one is %d", v)
		}
		if s := g.Status().Fences; s.Raised != 1 || s.Expired != 0 || s.Longest != made.Fenced {
			t.Errorf("%+v", s)
		}
	})
}

// valueOfAt reads the value of a device at a time through a client.
func valueOfAt(t *testing.T, c *Cluster, device string, at int64) (value int64) {
	t.Helper()
	end := at + 1
	q := client.Query{Database: database, Collection: collection, Devices: []string{device}, From: &at, To: &end}
	if err := c.Client(1).Query(t.Context(), q, func(_ string, cols *client.Columns) error {
		value = int64(cols.Cols[0].Nums[0])
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return value
}

// I8: the leader is killed with fences up: no write waits longer than an election
// and the fence's deadline.
func TestI8FencesEndWithTheirLeader(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		leaderEndsInsideFences(t, time.Second, (*Cluster).Crash, func(c *Cluster) { c.Start(0) })
	})
}

// I8: the leader falls silent with fences up, as a stopped process or a cut cable
// does: nobody is told that it is gone.
func TestI8FencesEndWithASilentLeader(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		leaderEndsInsideFences(t, time.Second, (*Cluster).Partition, (*Cluster).Heal)
	})
}

func leaderEndsInsideFences(t *testing.T, deadline time.Duration, end func(*Cluster, ...int), back func(*Cluster)) {
	c := StartNew(t, 3, nil)
	l := c.NewLedger("fences", ledgerDevices)
	stop := c.Load(l, loadCallers, loadRate)
	time.Sleep(2 * time.Second)
	l.ResetWaits()
	var fenced []*raftgroup.Group
	for _, g := range c.nodes[0].Node().Groups().Groups() {
		if !g.IsLeader() {
			continue
		}
		if _, err := g.Fence("test", deadline); err != nil {
			t.Fatal(err)
		}
		fenced = append(fenced, g)
	}
	time.Sleep(deadline / 2)
	up := 0
	for _, g := range fenced {
		if g.Status().Queued > 0 {
			up++
		}
	}
	end(c, 0)
	time.Sleep(8 * time.Second)
	wait, groups := l.LongestWait()
	back(c)
	c.AwaitReady()
	stop()
	election := raftgroup.DefaultTimers().Election
	t.Logf("%d of %d groups had writes waiting at a fence; the longest wait was %v, %d groups were written", up, len(fenced), wait.Duration, groups)
	if up == 0 || wait.Duration > election+deadline || groups < mostGroups {
		t.Errorf("%d groups had writes at a fence; a write waited %v, allowed are %v; %d groups were written", up, wait.Duration, election+deadline, groups)
	}
	t.Log(c.CheckLedger(l, 1))
}
