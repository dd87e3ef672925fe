package node

import (
	"context"
	"runtime"
	"sync/atomic"

	"github.com/flotilla-db/flotilla/snapshot/transfer"
)

// bytesAPoint is about what a stored point takes: storage.anti_entropy.batch_size
// is in points, and what is read in bytes.
const bytesAPoint = 6

// scrubPace holds back what re-reads whole replicas: to a rate, and by yielding
// to what clients ask for between two batches.
type scrubPace struct {
	node  *Node
	limit *transfer.Limiter
	read  atomic.Int64 // bytes since the last yield
	total atomic.Int64 // bytes that were re-read
}

func newScrubPace(n *Node) *scrubPace { return &scrubPace{node: n, limit: transfer.NewLimiter(0)} }

// wait is told of bytes that were read, and returns when the next may be.
func (p *scrubPace) wait(ctx context.Context, bytes int) error {
	s := p.node.policyConfig().Storage.AntiEntropy
	p.total.Add(int64(bytes))
	if p.read.Add(int64(bytes)) >= int64(s.BatchSize)*bytesAPoint {
		p.read.Store(0)
		runtime.Gosched()
	}
	if err := ctx.Err(); err != nil || s.Rate == 0 {
		return err
	}
	p.limit.Set(float64(s.Rate))
	return p.limit.Wait(ctx, bytes)
}
