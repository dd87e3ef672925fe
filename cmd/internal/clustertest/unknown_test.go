package clustertest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

// attempt is one write and what was said of it.
type attempt struct {
	device string
	value  int64
	code   api.Code // "": acked
}

// writeMany writes single points of their own devices, all at once, through one
// node, and calls hurt once they are under way.
func (c *Cluster) writeMany(k *client.Client, prefix string, count int, hurt func()) []attempt {
	attempts := make([]attempt, count)
	var wg sync.WaitGroup
	for n := range attempts {
		a := &attempts[n]
		a.device, a.value = fmt.Sprintf("%s-%d", prefix, n), int64(n+1)
		wg.Go(func() {
			time.Sleep(time.Duration(n%20) * 100 * time.Microsecond)
			ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
			defer cancel()
			_, err := k.Write(ctx, []client.Point{point(a.device, 1, a.value)})
			a.code = api.CodeOf(err)
		})
	}
	hurt()
	wg.Wait()
	return attempts
}

// judge compares what was said with what is there, and counts what was said.
func (c *Cluster) judge(t *testing.T, k *client.Client, attempts []attempt) (acked, unknown, refused int) {
	t.Helper()
	there := make(map[string]int64)
	q := client.Query{Database: database, Collection: collection}
	if err := k.Query(t.Context(), q, func(device string, cols *client.Columns) error {
		there[device] = int64(cols.Cols[0].Nums[0])
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, a := range attempts {
		switch value, ok := there[a.device]; {
		case a.code == "":
			if acked++; value != a.value {
				t.Errorf("%s was acked and reads %d, want %d", a.device, value, a.value)
			}
		case a.code.Retryable():
			if refused++; ok {
				t.Errorf("%s was said not to be applied (%s), and is there", a.device, a.code)
			}
		case a.code.Unknown():
			unknown++
		default:
			t.Errorf("%s: %s says nothing of the outcome", a.device, a.code)
		}
	}
	return acked, unknown, refused
}

// I10: a write under way when its leader dies, or is cut off, is said to be
// unknown or not applied, whichever is true.
func TestI10OutcomesAreToldTruly(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		if _, err := c.Client().Write(t.Context(), batch("seed", 1000, 1, 1)); err != nil {
			t.Fatal(err)
		}
		const slow = 20 * time.Millisecond // one way
		faults := []struct {
			name string
			hurt func()
			heal func()
		}{
			{"the accepting node dies", func() { c.Crash(0) }, func() { c.Start(0) }},
			{"another node dies", func() { c.Crash(1) }, func() { c.Start(1) }},
			{"the accepting node is cut off", func() { c.Partition(0) }, c.Heal},
			{"a slow node is cut off while acks are on their way", func() {
				time.Sleep(3*slow/2 + 5*time.Millisecond)
				c.Partition(0)
			}, c.Heal},
			{"all nodes die", func() { c.Crash(0, 1, 2) }, func() { c.Start(0); c.Start(1); c.Start(2) }},
			{"nothing happens", func() {}, func() {}},
		}
		everUnknown := 0
		for round, f := range faults {
			if strings.HasPrefix(f.name, "a slow") {
				c.Delay(0, slow)
			}
			k := c.Client(0)
			attempts := c.writeMany(k, fmt.Sprintf("round-%d", round), 600, func() {
				time.Sleep(1500 * time.Microsecond)
				f.hurt()
			})
			f.heal()
			c.AwaitReady()
			c.AwaitLeaders(30 * time.Second)
			acked, unknown, refused := c.judge(t, c.Client(1), attempts)
			t.Logf("%s: %d acked, %d unknown, %d not applied", f.name, acked, unknown, refused)
			everUnknown += unknown
		}
		if everUnknown == 0 {
			t.Error("no fault has met a write on its way: the test shows nothing")
		}
	})
}

// I10: what cannot be reached is not answered as empty, nor in part.
func TestI10ReadsWithoutAQuorumFail(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		k := c.Client(0)
		if _, err := k.Write(t.Context(), batch("dev", 1000, 1, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		count := func(q client.Query) (rows int, err error) {
			q.Database, q.Collection = database, collection
			err = k.Query(t.Context(), q, func(_ string, cols *client.Columns) error {
				rows += cols.Len()
				return nil
			})
			return rows, err
		}
		if rows, err := count(client.Query{}); rows != 1000 || err != nil {
			t.Fatalf("%d rows, %v", rows, err)
		}
		c.Partition(0) // no group has a quorum here, but each has a replica
		began := time.Now()
		for name, q := range map[string]client.Query{
			"all devices":  {},
			"one device":   {Devices: []string{"dev-1"}},
			"no such one":  {Devices: []string{"dev-never"}},
			"an aggregate": {Aggregation: pb.Aggregation_COUNT},
		} {
			if rows, err := count(q); err == nil {
				t.Errorf("linearizable read of %s behind a partition: %d rows and no error", name, rows)
			} else if code := api.CodeOf(err); code != api.Unavailable {
				t.Errorf("%s: %s: %v", name, code, err)
			}
		}
		if rows, err := count(client.Query{Consistency: pb.Consistency_STALE}); rows != 1000 || err != nil {
			t.Errorf("stale read: %d rows, %v", rows, err)
		}
		if _, err := count(client.Query{Consistency: pb.Consistency_STALE, MaxStaleness: time.Second}); api.CodeOf(err) != api.Stale {
			t.Errorf("stale read of a second, after %v: %v", time.Since(began), err)
		}
		_, err := k.Write(t.Context(), batch("dev", 1000, 2, 2))
		if code := api.CodeOf(err); err == nil || !code.Unknown() && !code.Retryable() {
			t.Errorf("write behind a partition: %v", err)
		}
		c.Heal()
		c.Crash(1, 2)
		if rows, err := count(client.Query{}); err == nil {
			t.Errorf("read with two nodes dead: %d rows and no error", rows)
		}
		if err := k.Delete(t.Context(), database, collection, nil, nil, nil); err == nil {
			t.Error("a delete succeeded with two nodes dead")
		}
		c.Start(1)
		c.Start(2)
		c.AwaitReady()
		c.AwaitLeaders(30 * time.Second)
		if rows, err := count(client.Query{To: ptr(2)}); err != nil || rows != 1000 {
			t.Errorf("behind the faults: %d rows, %v", rows, err)
		}
	})
}

func ptr(ns int64) *int64 { return &ns }
