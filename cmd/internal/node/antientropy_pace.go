package node

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/snapshot/transfer"
)

// bytesAPoint is about what a stored point takes: storage.anti_entropy.batch_size
// is in points, and what is read in bytes.
const bytesAPoint = 6

// maxYield bounds one pause for those who write: a machine that is busy with other
// things must not stop a check.
const maxYield = 20 * time.Millisecond

// scrubPace holds back what re-reads whole replicas: to a rate, and by yielding
// to what clients ask for between two batches.
type scrubPace struct {
	settings func() config.AntiEntropy // in force
	yield    func()                    // lets clients go first
	limit    *transfer.Limiter
	read     atomic.Int64 // bytes since the last yield
}

func newScrubPace(settings func() config.AntiEntropy) *scrubPace {
	return &scrubPace{settings: settings, yield: runtime.Gosched, limit: transfer.NewLimiter(0)}
}

// wait is told of bytes that were read, and returns when the next may be.
func (p *scrubPace) wait(ctx context.Context, bytes int) error {
	s := p.settings()
	if p.read.Add(int64(bytes)) >= int64(s.BatchSize)*bytesAPoint {
		p.read.Store(0)
		p.yield()
	}
	if err := ctx.Err(); err != nil || s.Rate == 0 {
		return err
	}
	p.limit.Set(float64(s.Rate))
	return p.limit.Wait(ctx, bytes)
}

// turns gives a wait for one reading: while clients of this node wait for writes (busy),
// it also pauses after each piece for as long as that took, so that the longer a
// piece takes on a busy machine, the more is left to others.
func (p *scrubPace) turns(ctx context.Context, busy func() bool) func(bytes int) error {
	began := time.Now()
	return func(bytes int) error {
		if busy() {
			_ = pause(ctx, min(time.Since(began), maxYield)) // wait looks at ctx
		}
		err := p.wait(ctx, bytes)
		began = time.Now()
		return err
	}
}
