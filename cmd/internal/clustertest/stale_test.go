package clustertest

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// acks remembers when which value of one device was acked.
type acks struct {
	mu sync.Mutex
	at []time.Time // guarded by mu: of value 1, 2, ...
}

// write writes rising values until stop is closed.
func (a *acks) write(c *Cluster, k *client.Client, device string, stop <-chan struct{}) {
	for v := int64(1); ; v++ {
		select {
		case <-stop:
			return
		default:
		}
		if _, err := k.Write(context.Background(), []client.Point{point(device, 1, v)}); err != nil {
			c.t.Errorf("write %d: %v", v, err)
			return
		}
		a.mu.Lock()
		a.at = append(a.at, time.Now())
		a.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
	}
}

// before counts the values that were acked before a time.
func (a *acks) before(at time.Time) (n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.at {
		if t.Before(at) {
			n++
		}
	}
	return n
}

// valueOf reads a replica's own value of a device at time 1, whatever its age.
func valueOf(t *testing.T, g *raftgroup.Group, device string) (value int64) {
	t.Helper()
	q := storage.Query{Series: point(device, 1, 0).Series, From: 0, To: 2}
	if err := g.Shard().Scan(t.Context(), q, func(_ storage.Series, c *blocks.Columns) error {
		value = int64(c.Cols[0].Nums[c.Len()-1])
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return value
}

// A follower that was cut off gets what the network held as soon as it is back.
// While it works that off it must not take old news for fresh ones: whenever it
// says how old its data is, it has all that was acked before.
func TestAFollowerKnowsTheAgeOfHeldFrames(t *testing.T) {
	Run(t, 3*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		k := c.Client(0)
		if _, err := k.Write(t.Context(), batch("flood", 1000, 1, 0)); err != nil {
			t.Fatal(err)
		}
		device := c.ledBy(0)
		far, ok := c.Group(2, groupOf(device))
		if !ok {
			t.Fatal("n3 has no replica")
		}
		var a acks
		stop := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { a.write(c, k, device, stop) })
		claims := 0
		for range 3 * times(t) {
			time.Sleep(2 * time.Second)
			c.Network.Cut(c.nodes[0].Host, c.nodes[2].Host)
			time.Sleep(2500 * time.Millisecond)
			c.Network.Heal(c.nodes[0].Host, c.nodes[2].Host)
			for range 3000 { // no virtual time passes
				runtime.Gosched()
				age, known := far.LastContact()
				if !known {
					continue
				}
				claims++
				since := time.Now().Add(-age)
				has, acked := valueOf(t, far, device), a.before(since)
				if has < acked {
					t.Fatalf("n3 has value %d and says that it is %v old: %d were acked by then", has, age, acked)
				}
			}
		}
		c.Await("n3 is up to date again", 10*time.Second, func() string {
			if age, known := far.LastContact(); !known || age > 500*time.Millisecond {
				return age.String()
			}
			return ""
		})
		close(stop)
		wg.Wait()
		if claims == 0 {
			t.Error("n3 never said how old its data is")
		}
	})
}
