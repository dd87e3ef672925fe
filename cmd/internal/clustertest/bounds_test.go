package clustertest

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
)

// A server takes this many writes of one stream at once: five streams are more
// than one group's queue. As many again may be in the entries that a leader has
// made before it waits for a quorum.
const floodClients, floodWrites = 10, 1024

// idleWorkers is how many goroutines wait for the next request on three nodes,
// at most: a stream keeps 16 handlers of calls.
const idleWorkers = 3*2*16 + 4

// I9: a flood of writes to one group whose leader is cut off fills its queue,
// not the memory; what does not fit is refused at once, and when it is over
// nothing is left behind.
func TestI9FloodAndLoadLeaveNothingBehind(t *testing.T) {
	RunAlone(t, 4*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		k := c.Client(0)
		if _, err := k.Write(t.Context(), batch("dev", 1000, 1, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		idle := runtime.NumGoroutine()

		leads := c.ledBy(0)
		c.Partition(0)
		var mu sync.Mutex
		codes := make(map[api.Code]int)
		var wg sync.WaitGroup
		for range floodClients {
			k := c.Client(0)
			for n := range floodWrites {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
					defer cancel()
					_, err := k.Write(ctx, []client.Point{point(leads, int64(n), 1)})
					mu.Lock()
					defer mu.Unlock()
					codes[api.CodeOf(err)]++
				})
			}
		}
		most := 0
		for range 50 {
			for _, g := range c.nodes[0].Node().Groups().Groups() {
				most = max(most, g.Status().Queued)
			}
			time.Sleep(100 * time.Millisecond)
		}
		wg.Wait()
		c.Heal()
		t.Logf("at most %d proposals waited; %v", most, codes)
		if most != raftgroup.MaxQueuedProposals || codes[""] > 0 || codes[api.Busy] == 0 {
			t.Errorf("%d proposals waited, the bound is %d; %v", most, raftgroup.MaxQueuedProposals, codes)
		}
		l := c.NewLedger("load", ledgerDevices)
		end := c.Load(l, 64, 2000)
		time.Sleep(2 * time.Second)
		end()
		c.CheckLedger(l, 1)
		time.Sleep(30 * time.Second)
		c.closeClients()
		time.Sleep(time.Second)
		if now := runtime.NumGoroutine(); now > idle+idleWorkers {
			t.Errorf("%d goroutines behind the load, %d before", now, idle)
		}
		for i, m := range c.nodes {
			for _, g := range m.Node().Groups().Groups() {
				if s := g.Status(); s.Queued > 0 || s.Lag > 1 {
					t.Errorf("group %d on node %d: %d proposals wait, lag %d", g.ID(), i, s.Queued, s.Lag)
				}
			}
		}
	})
}

// ledBy names a device whose group a node leads.
func (c *Cluster) ledBy(node int) string {
	c.t.Helper()
	for _, p := range batch("flood", 1000, 1, 1) {
		group := groupOf(p.Device)
		if g, ok := c.Group(node, group); ok && g.IsLeader() {
			return p.Device
		}
	}
	c.t.Fatal("it leads nothing")
	return ""
}
