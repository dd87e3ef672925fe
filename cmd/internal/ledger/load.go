package ledger

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/flotilla-db/flotilla/storage"
)

// retryPause is the pause between two attempts of one point.
const retryPause = 5 * time.Millisecond

// Sink takes points; nil means acknowledged, every other error may or may not
// have been applied. The same point is then written again: that changes nothing,
// since each device has one writer.
type Sink interface {
	Write(ctx context.Context, points []storage.Point) error
}

// Load writes to a ledger's devices until its context ends.
type Load struct {
	Ledger *Ledger
	// Sinks are used in turn, one point a request: a caller stays with its sink
	// until a write fails there, as a client with several addresses does.
	Sinks   []Sink
	Callers int     // points in flight at once
	Rate    float64 // points a second in total; 0: as fast as they are acked
}

// Run returns when ctx has ended and every write under way has ended too.
func (l Load) Run(ctx context.Context) {
	limit := rate.NewLimiter(rate.Inf, 1)
	if l.Rate > 0 {
		limit = rate.NewLimiter(rate.Limit(l.Rate), l.Callers)
	}
	var wg sync.WaitGroup
	for c := range l.Callers {
		wg.Go(func() { l.caller(ctx, c, limit) })
	}
	wg.Wait()
}

// caller owns every device whose number is c modulo the number of callers.
func (l Load) caller(ctx context.Context, c int, limit *rate.Limiter) {
	sink := c % len(l.Sinks)
	for {
		for device := c; device < l.Ledger.Devices; device += l.Callers {
			if limit.Wait(ctx) != nil {
				return
			}
			if sink = l.write(ctx, sink, device, l.Ledger.Next(device)); ctx.Err() != nil {
				return
			}
		}
	}
}

// write repeats one point until it is acked or ctx ends; it returns the sink to go on with.
func (l Load) write(ctx context.Context, sink, device, seq int) int {
	began := time.Now()
	points := []storage.Point{l.Ledger.Point(device, seq)}
	l.Ledger.Attempt(device, seq)
	for {
		err := l.Sinks[sink].Write(ctx, points)
		if err == nil {
			l.Ledger.Ack(device, seq, time.Since(began))
			return sink
		}
		sink = (sink + 1) % len(l.Sinks)
		pause := time.NewTimer(retryPause)
		select {
		case <-ctx.Done():
			pause.Stop()
			return sink
		case <-pause.C:
		}
	}
}
