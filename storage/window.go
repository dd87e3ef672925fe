package storage

import (
	"math"
	"time"
)

// DefaultWindow is the length of a window unless the cluster's settings say otherwise.
const DefaultWindow = 24 * time.Hour

// Times of points lie in [MinTime, MaxTime], in ns. The last nanosecond of int64 is left out so that a half-open
// range [from, NoEnd) can cover every point.
const (
	MinTime int64 = math.MinInt64
	MaxTime int64 = math.MaxInt64 - 1
	NoEnd   int64 = math.MaxInt64 // as `to` of a range: without an end
)

// WindowOf is the window that a time lies in: floor(ts / window), so that times before 1970 get negative windows.
func WindowOf(ts, windowNs int64) int64 {
	w := ts / windowNs
	if ts%windowNs < 0 {
		w--
	}
	return w
}

// WindowStart is the first time of a window, never below MinTime.
func WindowStart(window, windowNs int64) int64 {
	if window < WindowOf(MinTime, windowNs)+1 {
		return MinTime
	}
	if window > WindowOf(NoEnd, windowNs) {
		return NoEnd
	}
	return window * windowNs
}

// windowEnd is the first time behind a window, never above NoEnd.
func windowEnd(window, windowNs int64) int64 {
	if window >= WindowOf(NoEnd, windowNs) {
		return NoEnd
	}
	return WindowStart(window+1, windowNs)
}
