package bench

import (
	"math/bits"
	"time"
)

// histogramBuckets: 64 steps to each power of two of nanoseconds, so a quantile is off by at most 1.6%.
const (
	stepBits         = 6
	histogramBuckets = (64 - stepBits + 1) << stepBits
)

// histogram counts durations. Each caller has its own; they are added up at the end.
type histogram struct {
	counts [histogramBuckets]uint32
	total  uint64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(uint64(max(d, 0)))]++
	h.total++
	h.max = max(h.max, d)
}

func (h *histogram) merge(other *histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.total += other.total
	h.max = max(h.max, other.max)
}

// quantile returns the duration that a share q of all does not exceed, 0 without any.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(q * float64(h.total-1))
	for i, n := range h.counts {
		if rank < uint64(n) {
			return min(time.Duration(upperBound(i)), h.max)
		}
		rank -= uint64(n)
	}
	return h.max
}

// bucketOf keeps the highest stepBits+1 bits of n.
func bucketOf(n uint64) int {
	shift := max(0, bits.Len64(n)-stepBits-1)
	return shift<<stepBits + int(n>>shift)
}

// upperBound is the largest n of bucket i.
func upperBound(i int) uint64 {
	if i < 2<<stepBits {
		return uint64(i)
	}
	shift := i>>stepBits - 1
	return uint64(i-shift<<stepBits+1)<<shift - 1
}
