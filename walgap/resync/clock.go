package resync

import (
	"math"
	"runtime"
	"time"

	"github.com/flotilla-db/flotilla/walgap"
)

// clock counts the time that a copy is given: a second in which clients leave it a fifth of a core counts a fifth. The zero
// value is ready; all counts until Gets is told otherwise.
type clock struct {
	at     time.Time // up to when it has counted
	share  float64   // of a core, from then on; 0: all that it wants
	recent float64   // its average over about shareAverage; 0: not known
	busy   float64   // seconds
	alone  float64   // seconds of work that all cores do where nobody asks, and one where clients do
}

// shareAverage is how long a share counts: it goes up and down all the time.
const shareAverage = 500 * time.Millisecond

// Gets notes the share of a core that the copy gets from a time on; 1: all that it wants.
func (c *clock) Gets(at time.Time, share float64) {
	c.advance(at)
	c.share = min(max(share, 0), 1)
	if c.recent == 0 {
		c.recent = c.share
	}
}

func (c *clock) advance(at time.Time) {
	passed := at.Sub(c.at)
	if c.at.IsZero() {
		passed = 0
	}
	if passed < 0 {
		return
	}
	c.at = at
	s := c.share
	if s == 0 {
		s = 1
	}
	c.busy += s * passed.Seconds()
	c.alone += onAllCores(s) * passed.Seconds()
	if c.recent > 0 {
		c.recent += (s - c.recent) * (1 - math.Exp(-passed.Seconds()/shareAverage.Seconds()))
	}
}

// gets is the share that it has got of late.
func (c *clock) gets() float64 {
	if c.recent == 0 {
		return 1
	}
	return c.recent
}

// onAllCores is what a share is to work that would have all cores. Clients leave much less than nearly all of one: what is
// so is the average of a share that has just become all.
func onAllCores(share float64) float64 {
	if share > 0.9 {
		return 1
	}
	return share / float64(runtime.GOMAXPROCS(0))
}

// giving are the rates of work that gets a share only.
func giving(r walgap.Rates, share float64) walgap.Rates {
	r.LocalBytesPerS = walgap.Rate(rateOr(r.LocalBytesPerS, walgap.DefaultLocalBytesPerS) * share)
	r.WireBytesPerS = walgap.Rate(rateOr(r.WireBytesPerS, walgap.DefaultWireBytesPerS) * share)
	r.ProofBytesPerS = walgap.Rate(rateOr(r.ProofBytesPerS, walgap.DefaultProofBytesPerS) * onAllCores(share))
	return r
}

// seconds is so much of a clock.
func seconds(of float64) time.Duration { return time.Duration(of * float64(time.Second)) }
