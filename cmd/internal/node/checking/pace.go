package checking

import (
	"context"
	"runtime"
	"sync/atomic"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/snapshot/transfer"
)

// bytesAPoint is about what a stored point takes: storage.anti_entropy.batch_size
// is in points, and what is read in bytes.
const bytesAPoint = 6

// Pace holds back what re-reads whole replicas: to a rate, and by yielding
// between two batches. How it gives way to clients is the governor's business.
type Pace struct {
	settings func() config.AntiEntropy // in force
	yield    func()                    // lets clients go first
	limit    *transfer.Limiter
	read     atomic.Int64 // bytes since the last yield
}

func newPace(settings func() config.AntiEntropy) *Pace {
	return &Pace{settings: settings, yield: runtime.Gosched, limit: transfer.NewLimiter(0)}
}

// gentleRate is what the least share of a core that clients leave to background work reads in a second, at 320 MiB/s a core.
const gentleRate = 32 << 20

// Gentle reports whether the rate that is set is one that clients hardly feel: then it is kept, beside them too.
func (p *Pace) Gentle() bool {
	rate := p.settings().Rate
	return rate > 0 && rate <= gentleRate
}

// Wait is told of bytes that were read, and returns when the next may be.
func (p *Pace) Wait(ctx context.Context, bytes int) error {
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
