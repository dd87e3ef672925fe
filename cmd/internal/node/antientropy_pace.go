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
	read     atomic.Int64  // bytes since the last yield
	turn     chan struct{} // capacity 1: of the readings that give way
}

func newScrubPace(settings func() config.AntiEntropy) *scrubPace {
	return &scrubPace{settings: settings, yield: runtime.Gosched, limit: transfer.NewLimiter(0), turn: make(chan struct{}, 1)}
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

// turns gives a wait for one reading, and what ends it. While clients of this node
// wait for writes (busy), one reading at a time goes on, and pauses after each piece
// for as long as that took: so the longer a piece takes on a busy machine, the more
// is left to others. While nobody waits nothing is held back.
func (p *scrubPace) turns(ctx context.Context, busy func() bool) (wait func(bytes int) error, end func()) {
	began, has := time.Now(), false
	end = func() {
		if has {
			<-p.turn
			has = false
		}
	}
	return func(bytes int) error {
		if busy() {
			_ = pause(ctx, min(time.Since(began), maxYield)) // wait looks at ctx
		}
		end()
		err := p.wait(ctx, bytes)
		if err == nil && busy() {
			select {
			case p.turn <- struct{}{}:
				has = true
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		began = time.Now()
		return err
	}, end
}
