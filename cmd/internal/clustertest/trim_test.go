package clustertest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

// trimAll trims every replica of some nodes, and returns how many entries of
// log the groups have left at most.
func (c *Cluster) trimAll(t *testing.T, nodes ...int) (longest uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, i := range nodes {
		for _, g := range c.nodes[i].Node().Groups().Groups() {
			wg.Go(func() {
				if err := g.Trim(ctx); err != nil {
					t.Errorf("trim group %d on %s: %v", g.ID(), c.nodes[i].Name, err)
				}
			})
		}
	}
	wg.Wait()
	if t.Failed() {
		t.Fatal(c.uneven())
	}
	for _, i := range nodes {
		for _, g := range c.nodes[i].Node().Groups().Groups() {
			if s := g.Status(); s.LogFirst > 0 {
				longest = max(longest, s.LogLast-s.LogFirst+1)
			}
		}
	}
	return longest
}

// I7: logs that are trimmed under writes keep what no shard's file holds yet:
// after the kill of all nodes, in the middle of it, nothing acked is missing.
func TestI7TrimsUnderWritesLoseNothing(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		l := c.NewLedger("trimmed", ledgerDevices)
		c.writeEverywhere(t, 4*totalGroups, false) // a group that is just born has replicas that still want its first entries
		for range 2 * times(t) {
			c.Await("the replicas are level", time.Minute, c.uneven)
			end := c.Load(l, loadCallers, loadRate)
			time.Sleep(time.Second)
			t.Logf("at most %d entries of a log are left", c.trimAll(t, c.Up()...))
			time.Sleep(200 * time.Millisecond)
			c.Crash(c.Up()...)
			end()
			for i := range c.nodes {
				c.Start(i)
			}
			c.AwaitReady()
			t.Log(c.CheckLedger(l, 2))
		}
		if groups, err := c.CompareRoots(); err != nil || groups < mostGroups {
			t.Errorf("%d groups: %v", groups, err)
		}
	})
}

// I7, I10: a node that comes back behind the others' logs is told why, serves
// nothing old as fresh, and does not keep the others from working.
func TestNodeBehindTheLogSaysWhy(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, func(_ int, cfg *config.Config) { cfg.Storage.Sync.Enabled = false })
		k := c.Client(0)
		if _, err := k.Write(t.Context(), batch("dev", 300, 1, 1)); err != nil {
			t.Fatal(err)
		}
		c.Crash(2)
		c.AwaitLeaders(30 * time.Second)
		if _, err := k.Write(t.Context(), batch("dev", 300, 1, 2)); err != nil {
			t.Fatal(err)
		}
		c.trimAll(t, 0, 1)
		c.Start(2)
		c.Await("n3 has met every leader", 30*time.Second, func() string {
			for group := range c.nodes[0].Node().Meta().Table().Assignments {
				if g, open := c.Group(2, group); !open || !g.Running() || g.Status().Leader.IsZero() {
					return fmt.Sprintf("group %d", group)
				}
			}
			return ""
		})
		time.Sleep(15 * time.Second) // longer than Raft backs off
		told := 0
		for group := range c.nodes[0].Node().Meta().Table().Assignments {
			if i, ok := c.Leader(group); !ok || i == 2 {
				t.Errorf("group %d is led by node %d, %v", group, i, ok)
			} else if g, _ := c.Group(i, group); len(g.Status().Gaps) > 0 {
				told++
			}
		}
		t.Logf("%d leaders know of the gap", told)
		if told == 0 {
			t.Error("no leader has noticed that n3 is behind its log")
		}
		behind := c.Client(2)
		for d := range 50 {
			p, ok, err := behind.Last(t.Context(), point(batch("dev", d+1, 1, 0)[d].Device, 1, 0).Series, client.Linearizable)
			if err != nil || !ok || p.Fields[0].Value.Int64() != 2 {
				t.Errorf("linearizable read through n3: %v %v %v", p, ok, err)
			}
		}
		q := client.Query{Database: database, Collection: collection, Consistency: pb.Consistency_STALE, MaxStaleness: 5 * time.Second}
		if err := behind.Query(t.Context(), q, func(device string, cols *client.Columns) error {
			if v := int64(cols.Cols[0].Nums[0]); v != 2 {
				t.Errorf("a stale read of at most 5s gives the %s of before the crash: %d", device, v)
			}
			return nil
		}); err != nil {
			t.Logf("stale read: %v", err)
		}
	})
}
