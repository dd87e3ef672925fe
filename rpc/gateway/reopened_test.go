package gateway_test

import (
	"context"
	"sync"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// reopening is a node of which each replica is closed and opened again just after the first read of it was let in. The new
// one has nothing of its log applied until another read is let in.
type reopening struct {
	gateway.Host

	mu  sync.Mutex
	let map[uint32]int // reads of a group that were let in; guarded by mu
}

func (h *reopening) Group(id uint32) (gateway.Group, bool) {
	g, ok := h.Host.Group(id)
	return &reopened{Group: g, host: h, id: id}, ok
}

func (h *reopening) reads(group uint32) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.let[group]
}

type reopened struct {
	gateway.Group
	host *reopening
	id   uint32
}

func (r *reopened) ReadBarrier(ctx context.Context) error {
	err := r.Group.ReadBarrier(ctx)
	r.host.mu.Lock()
	defer r.host.mu.Unlock()
	if err == nil {
		r.host.let[r.id]++
	}
	return err
}

// Data is that of the replica which runs now.
func (r *reopened) Data() gateway.Data {
	if r.host.reads(r.id) == 0 {
		return closedData{}
	}
	return replayedData{r.Group.Data(), r}
}

// replayedData is the new replica's.
type replayedData struct {
	gateway.Data
	of *reopened
}

func (d replayedData) Scan(ctx context.Context, q storage.Query, yield func(storage.Series, *blocks.Columns) error) error {
	if d.of.host.reads(d.of.id) == 1 {
		return nil
	}
	return d.Data.Scan(ctx, q, yield)
}

// closedData is the former replica's: nobody comes to read it before it is closed.
type closedData struct{ gateway.Data }

func (closedData) Scan(context.Context, storage.Query, func(storage.Series, *blocks.Columns) error) error {
	return storage.ErrClosed
}

// A read answers from what the replica held when it was let in. One that was closed meanwhile, and opened again with a file
// whose log is not applied yet, would answer with nothing.
func TestReplicaThatIsReopenedDuringAReadIsNotReadEmpty(t *testing.T) {
	host := &reopening{}
	c := fakecluster.New(t, fakecluster.Options{Configure: func(n int, cfg *gateway.Config) {
		if n == 0 {
			host.Host, cfg.Host = cfg.Host, host
		}
	}})
	const devices, points = 12, 10
	fill(t, c, devices, points)
	for group := range uint32(fakecluster.TotalGroups) {
		c.SetLeader(group, "n1")
	}
	for name, want := range map[string]struct {
		node    int
		devices []string
		rows    int
	}{
		"one device, here":       {0, []string{"dev-3"}, points},
		"one device, by a call":  {1, []string{"dev-3"}, points},
		"a collection":           {0, nil, devices * points},
		"a collection, a stream": {1, nil, devices * points},
	} {
		host.mu.Lock()
		host.let = map[uint32]int{}
		host.mu.Unlock()
		rows := 0
		err := c.Nodes[want.node].Gateway.Query(t.Context(), all(want.devices...), func(_ string, c *blocks.Columns) error {
			rows += c.Len()
			return nil
		})
		if err != nil || rows != want.rows {
			t.Errorf("%s: %d of %d rows, %v", name, rows, want.rows, err)
		}
	}
}
