package transfer

import (
	"math"
	"time"
)

// speedHalfLife is the busy time after which a measurement counts half.
const speedHalfLife = 2 * time.Second

// A speed is known once one of these was measured: a source that sends nothing is known to be slow too.
const (
	knownAfterBytes = 64 << 10
	knownAfter      = 500 * time.Millisecond
)

// speed estimates bytes a second over the time in which there was something to do. Old measurements fade.
type speed struct {
	bytes   float64
	seconds float64
	busy    int       // what is under way now; the clock runs while it is above 0
	at      time.Time // up to here seconds is counted
}

// advance counts the busy time up to now and lets what is old fade.
func (s *speed) advance(now time.Time) {
	if s.busy > 0 && now.After(s.at) {
		s.add(0, now.Sub(s.at))
	}
	s.at = now
}

// add counts bytes that took some time.
func (s *speed) add(bytes float64, took time.Duration) {
	fade := math.Exp2(-took.Seconds() / speedHalfLife.Seconds())
	s.bytes = s.bytes*fade + bytes
	s.seconds = s.seconds*fade + took.Seconds()
}

func (s *speed) begin(now time.Time) { s.advance(now); s.busy++ }
func (s *speed) end(now time.Time)   { s.advance(now); s.busy-- }

// moved counts bytes that came at now, within busy time.
func (s *speed) moved(now time.Time, bytes int) {
	s.advance(now)
	s.bytes += float64(bytes)
}

// rate is the estimate; not known before something was measured.
func (s *speed) rate(now time.Time) (bytesPerS float64, known bool) {
	s.advance(now)
	if s.bytes < knownAfterBytes && s.seconds < knownAfter.Seconds() {
		return 0, false
	}
	return s.bytes / max(s.seconds, 1e-6), true
}
