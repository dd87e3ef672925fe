package clustertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/client"
)

const ownedDevices, ownedTimes = 60, 40

// owner is the only writer of some devices, so that it knows their state.
type owner struct {
	k     *client.Client
	r     *rand.Rand
	name  string
	state [ownedDevices]map[int64]int64 // time -> value
}

// step writes some points, or deletes a range of one device; it is repeated
// until it is applied, which is right for the only writer.
func (o *owner) step(ctx context.Context) {
	if o.r.IntN(5) == 0 {
		d, from := o.r.IntN(ownedDevices), o.r.Int64N(ownedTimes)
		to := from + 1 + o.r.Int64N(ownedTimes/4)
		for o.k.Delete(ctx, database, o.name, []string{device(d)}, &from, &to) != nil && ctx.Err() == nil {
			time.Sleep(awaitStep)
		}
		for at := from; at < to; at++ {
			delete(o.state[d], at)
		}
		return
	}
	var points []client.Point
	for range 1 + o.r.IntN(20) {
		d, at, value := o.r.IntN(ownedDevices), o.r.Int64N(ownedTimes), o.r.Int64N(1000)
		p := point(device(d), at, value)
		p.Collection = o.name
		points = append(points, p)
		o.state[d][at] = value // of two in one batch the later one wins
	}
	for ctx.Err() == nil {
		if _, err := o.k.Write(ctx, points); err == nil {
			return
		}
		time.Sleep(awaitStep)
	}
}

func device(d int) string { return fmt.Sprintf("dev-%d", d) }

// differs compares what a node reads with what the owner knows.
func (o *owner) differs(ctx context.Context, k *client.Client) error {
	for d, want := range o.state {
		got := make(map[int64]int64)
		err := k.Query(ctx, client.Query{Database: database, Collection: o.name, Devices: []string{device(d)}}, func(_ string, cols *client.Columns) error {
			for i, at := range cols.Times {
				got[at] = int64(cols.Cols[0].Nums[i])
			}
			return nil
		})
		if err != nil {
			return err
		}
		if len(got) != len(want) {
			return fmt.Errorf("%s of %s has %d points, want %d", device(d), o.name, len(got), len(want))
		}
		for at, v := range want {
			if got[at] != v {
				return fmt.Errorf("%s of %s at %d is %d, want %d", device(d), o.name, at, got[at], v)
			}
		}
	}
	return nil
}

// I4: at one cut all replicas have the same root, while writes and deletes go
// on, leaders move, and nodes come back from a crash. I3: what is read at the
// end is what each command did, once and in its order.
func TestI4ReplicasAreEqualAtEveryCut(t *testing.T) {
	Run(t, 3*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		ctx, cancel := context.WithCancel(t.Context())
		owners := make([]*owner, 8)
		var wg sync.WaitGroup
		for i := range owners {
			o := &owner{k: c.Client(), r: rand.New(rand.NewPCG(4, uint64(i))), name: fmt.Sprintf("owner-%d", i)}
			for d := range o.state {
				o.state[d] = make(map[int64]int64)
			}
			owners[i] = o
			wg.Go(func() {
				// The last step is finished: its outcome must be known.
				for ctx.Err() == nil {
					o.step(context.WithoutCancel(ctx))
					time.Sleep(20 * time.Millisecond)
				}
			})
		}
		compare := func(when string) {
			t.Helper()
			began := time.Now()
			groups, err := c.CompareRoots()
			if err != nil || groups < mostGroups {
				t.Errorf("%s: %d groups: %v", when, groups, err)
			}
			t.Logf("%s: %d groups are equal at their cuts, after %v", when, groups, time.Since(began))
		}
		r := rand.New(rand.NewPCG(4, 4))
		time.Sleep(time.Second)
		compare("under writes")
		moveLeaders(c, r)
		compare("after leaders moved")
		c.Crash(1)
		time.Sleep(time.Second)
		c.Start(1)
		c.AwaitReady()
		compare("after a crash of one")
		c.Crash(c.Up()...)
		for i := range c.nodes {
			c.Start(i)
		}
		c.AwaitReady()
		compare("after a crash of all")
		cancel()
		wg.Wait()
		for i, o := range owners {
			if err := o.differs(t.Context(), c.Client(i%3)); err != nil {
				t.Error(err)
			}
		}
	})
}
