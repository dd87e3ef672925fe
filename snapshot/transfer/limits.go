package transfer

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// MaxInFlight bounds the bytes that the transfers of a node have asked for and not yet stored. A leaf larger than it
// goes alone.
const MaxInFlight = 8 << 20

// MinRate is the lowest rate of a Limiter in bytes a second: below it, a message takes so long that a slow source
// looks like a silent one.
const MinRate = 256 << 10

// Limits is what all incoming transfers of a node share.
type Limits struct {
	In       *Limiter // bytes received
	inFlight *semaphore.Weighted
}

// NewLimits makes the limits of a node; bytesPerS 0: no limit of the rate.
func NewLimits(bytesPerS float64) *Limits {
	return &Limits{In: NewLimiter(bytesPerS), inFlight: semaphore.NewWeighted(MaxInFlight)}
}

// Limiter bounds a rate of bytes. It can be shared and changed while it is used. A nil Limiter bounds nothing.
type Limiter struct {
	bucket *rate.Limiter
}

// NewLimiter makes a Limiter; bytesPerS 0: no limit. Rates below MinRate are MinRate.
func NewLimiter(bytesPerS float64) *Limiter {
	l := &Limiter{bucket: rate.NewLimiter(rate.Inf, burstOf(0))}
	l.Set(bytesPerS)
	return l
}

// Set changes the rate for all that use the Limiter, those that wait now as well.
func (l *Limiter) Set(bytesPerS float64) {
	l.bucket.SetLimit(limitOf(bytesPerS))
	l.bucket.SetBurst(burstOf(bytesPerS))
}

// Rate is the bytes a second; 0: no limit.
func (l *Limiter) Rate() float64 {
	if l == nil || l.bucket.Limit() == rate.Inf {
		return 0
	}
	return float64(l.bucket.Limit())
}

// Wait takes n bytes; it returns when the rate allows them, or with the error of ctx.
func (l *Limiter) Wait(ctx context.Context, n int) error {
	if l == nil {
		return ctx.Err()
	}
	return l.take(ctx, n)
}

// slice is the time whose bytes are taken at once: a change of the rate is felt within it, and several users of one
// Limiter take turns.
const slice = 50 * time.Millisecond

// minBurst is the fewest bytes that are taken at once.
const minBurst = 16 << 10

func limitOf(bytesPerS float64) rate.Limit {
	if bytesPerS <= 0 {
		return rate.Inf
	}
	return rate.Limit(max(bytesPerS, MinRate))
}

func burstOf(bytesPerS float64) int {
	return max(minBurst, int(min(bytesPerS, 1<<40)*slice.Seconds()))
}

// take takes n bytes, a burst at a time.
func (l *Limiter) take(ctx context.Context, n int) error {
	for n > 0 {
		if l.bucket.Limit() == rate.Inf {
			return ctx.Err()
		}
		part := min(n, l.bucket.Burst())
		reserved := l.bucket.ReserveN(time.Now(), part)
		if !reserved.OK() {
			continue // the burst has just become smaller
		}
		n -= part
		delay := reserved.Delay()
		if delay == 0 {
			continue
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			reserved.Cancel()
			return fmt.Errorf("wait for the rate: %w", ctx.Err())
		}
	}
	return ctx.Err()
}
