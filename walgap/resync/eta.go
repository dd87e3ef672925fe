package resync

import (
	"time"

	"github.com/flotilla-db/flotilla/walgap"
)

// Work is what a job has before it.
type Work struct {
	FetchBytes int64
	CopyBytes  int64 // locally
	ProofBytes int64
	Entries    int64
	FixedS     float64 // the switch
}

// ETA is how long the work takes. The phase that runs goes at its recent pace (units/s, 0: not known yet), the others at
// the rates that this node measured before, or their defaults.
func ETA(w Work, r walgap.Rates, phase Stage, pace float64) time.Duration {
	s := w.FixedS
	fetch := min(rateOr(r.WireBytesPerS, walgap.DefaultWireBytesPerS), rateOr(r.LocalBytesPerS, walgap.DefaultLocalBytesPerS))
	proof := rateOr(r.ProofBytesPerS, walgap.DefaultProofBytesPerS)
	replay := rateOr(r.EntriesPerS, walgap.DefaultEntriesPerS)
	if pace > 0 {
		switch phase {
		case Fetch:
			fetch = pace
		case Install:
			proof = pace
		case Replay:
			replay = pace
		}
	}
	s += float64(w.FetchBytes) / fetch
	s += float64(w.CopyBytes) / rateOr(r.LocalBytesPerS, walgap.DefaultLocalBytesPerS)
	s += float64(w.ProofBytes) / proof
	s += float64(w.Entries) / replay
	return time.Duration(min(s, maxEtaS) * float64(time.Second))
}

// switchS is what is left of a copy when all of it is proven: about as long as a cut and a switch took before.
func switchS(r walgap.Rates) float64 {
	if r.CutS.Measured() {
		return float64(r.CutS)
	}
	return float64(walgap.DefaultCutS)
}

const maxEtaS = 30 * 24 * 3600 // shown as such: more means that nothing moves

func rateOr(r, otherwise walgap.Rate) float64 {
	if r.Measured() {
		return float64(r)
	}
	return float64(otherwise)
}

// Pace is how fast something goes, over the recent past only, and where it gets but a share of what it wants, how fast at the
// share that it gets now. The zero value is ready.
type Pace struct {
	samples []sample
	spread  bool // all cores do it where nobody asks
	clock
}

type sample struct {
	at    time.Time
	given float64 // seconds, of the clock
	done  int64
}

const (
	paceWindow  = 10 * time.Second
	paceEnough  = 5                      // samples
	paceStep    = 250 * time.Millisecond // samples are at least so far apart
	paceSamples = int(paceWindow/paceStep) + 2
)

// Add notes how much is done at a time. Less than before begins anew.
func (p *Pace) Add(at time.Time, done int64) {
	p.advance(at)
	n := len(p.samples)
	if n > 0 && done < p.samples[n-1].done {
		p.samples, n = p.samples[:0], 0
	}
	if n >= 2 && at.Sub(p.samples[n-2].at) < paceStep {
		p.samples[n-1] = sample{at, p.given(), done}
	} else {
		p.samples = append(p.samples, sample{at, p.given(), done})
	}
	for len(p.samples) > 2 && (at.Sub(p.samples[1].at) >= paceWindow || len(p.samples) > paceSamples) {
		p.samples = append(p.samples[:0], p.samples[1:]...)
	}
}

// PerSecond is the pace at a time; 0 until two samples say one.
func (p *Pace) PerSecond(at time.Time) float64 {
	p.advance(at)
	if len(p.samples) < 2 {
		return 0
	}
	first, last := p.samples[0], p.samples[len(p.samples)-1]
	took := p.given() - first.given
	if took <= 0 {
		return 0
	}
	if p.spread {
		return float64(last.done-first.done) / took * onAllCores(p.gets())
	}
	return float64(last.done-first.done) / took * p.gets()
}

func (p *Pace) given() float64 {
	if p.spread {
		return p.alone
	}
	return p.busy
}

// Reset forgets; the clock goes on.
func (p *Pace) Reset(spread bool) { p.samples, p.spread = p.samples[:0], spread }

// Known reports whether it has seen enough to be trusted more than what was measured before: of a few leaves one more or
// less is much.
func (p *Pace) Known() bool { return len(p.samples) >= paceEnough }
