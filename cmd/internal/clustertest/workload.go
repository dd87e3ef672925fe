package clustertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
)

// Workload is what a history's clients do: reads and writes of a few devices,
// of which each holds one value at one time.
type Workload struct {
	Ops, Keys, Workers int           // Ops counts what is recorded
	Think              time.Duration // the longest pause of a worker between two operations
	Seed               uint64
	Prefix             string // of the devices: histories of one cluster use different ones
}

const (
	// opTimeout is how long a client waits; a node gives up before. Half of the
	// clients of a Workload wait impatience only: the others would all end up
	// waiting for the side of a partition that does not answer.
	opTimeout, impatience = 8 * time.Second, 250 * time.Millisecond
	// hotKeys get half of the operations: what goes wrong between two writes of
	// one key needs writes that meet.
	hotKeys = 6
	// staleBound is the max_staleness of stale reads.
	staleBound = 5 * time.Second
)

// Begin runs the workload beside the test and returns its history, with a
// function that waits for its end.
func (c *Cluster) Begin(w Workload) (h *History, wait func()) {
	h = NewHistory()
	clients := make([]*client.Client, len(c.nodes))
	for i := range clients {
		clients[i] = c.Client(i)
	}
	left := make(chan struct{}, w.Ops)
	for range w.Ops {
		left <- struct{}{}
	}
	close(left)
	var wg sync.WaitGroup
	for id := range w.Workers {
		r := rand.New(rand.NewPCG(w.Seed, uint64(id)))
		wg.Go(func() {
			for n := int64(1); ; {
				if _, more := <-left; !more {
					return
				}
				for done := false; !done; n++ {
					time.Sleep(time.Duration(r.Int64N(int64(w.Think))))
					op := Op{Client: id, Key: r.IntN(w.Keys), Kind: kindOf(r.IntN(10)), Value: n*int64(w.Workers) + int64(id)}
					if r.IntN(2) == 0 {
						op.Key = r.IntN(hotKeys)
					}
					limit := opTimeout
					if r.IntN(2) == 0 {
						limit = impatience
					}
					done = w.attempt(h, clients[r.IntN(len(clients))], limit, op)
				}
			}
		})
	}
	return h, wg.Wait
}

// kindOf makes half of the operations writes, and most reads linearizable.
func kindOf(die int) OpKind {
	switch {
	case die < 5:
		return OpWrite
	case die < 8:
		return OpLinearizable
	case die < 9:
		return OpLeader
	}
	return OpStale
}

// attempt carries one operation out and records it; false when it certainly had
// no effect.
func (w Workload) attempt(h *History, k *client.Client, limit time.Duration, op Op) bool {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var err error
	op.Call = h.Now()
	if op.Kind == OpWrite {
		_, err = k.Write(ctx, []client.Point{point(w.device(op.Key), 1, op.Value)})
	} else {
		op.Value, err = w.read(ctx, k, &op)
	}
	op.Return = h.Now()
	switch code := api.CodeOf(err); {
	case err == nil:
	case op.Kind != OpWrite:
		h.Lose("read: " + string(code))
		return false
	case code.Retryable():
		h.Lose("write: " + string(code))
		return false
	default:
		op.Unknown = true
	}
	h.Add(op)
	return true
}

func (w Workload) device(key int) string { return fmt.Sprintf("%s-%d", w.Prefix, key) }

// read gives the value of a key, 0 where it is absent.
func (w Workload) read(ctx context.Context, k *client.Client, op *Op) (int64, error) {
	q := client.Query{Database: database, Collection: collection, Devices: []string{w.device(op.Key)}}
	switch op.Kind {
	case OpLeader:
		q.Consistency = pb.Consistency_LEADER
	case OpStale:
		q.Consistency, q.MaxStaleness = pb.Consistency_STALE, staleBound
		op.MaxStaleness = staleBound
	}
	var value int64
	err := k.Query(ctx, q, func(_ string, cols *client.Columns) error {
		value = int64(cols.Cols[0].Nums[cols.Len()-1])
		return nil
	})
	return value, err
}

const (
	database, collection = "plant", "readings"
	field                = "v"
)

// groupOf is the group of a device of point.
func groupOf(device string) uint32 {
	return storage.GroupOf(database, collection, device, totalGroups)
}

// point is one value of a device at a time.
func point(device string, at, value int64) client.Point {
	return client.Point{
		Series: client.Series{Database: database, Collection: collection, Device: device}, Time: at,
		Fields: []client.Field{{Name: field, Value: client.Int(value)}},
	}
}

// batch is one point of each of many devices, which lie in nearly all groups.
func batch(prefix string, devices int, at, value int64) []client.Point {
	points := make([]client.Point, devices)
	for i := range points {
		points[i] = point(fmt.Sprintf("%s-%d", prefix, i), at, value)
	}
	return points
}
