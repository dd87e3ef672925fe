package walgap

import "time"

// Rate is so many a second, as measured. Zero: never measured, and the default counts.
type Rate float64

// Measured reports whether it was.
func (r Rate) Measured() bool { return r > 0 }

// Cost is a number of seconds, as measured. Zero: never measured, and the default counts.
type Cost float64

// Measured reports whether it was.
func (c Cost) Measured() bool { return c > 0 }

// Rates are what a node measured of its own work. They are values: what is observed makes new Rates of old ones.
type Rates struct {
	EntriesPerS    Rate // replayed from the log
	LocalBytesPerS Rate // staged: verified, written and synced
	WireBytesPerS  Rate // received from all sources of a copy together
	ProofBytesPerS Rate // re-read and re-hashed for a proof
	CutS           Cost // a cut and a switch, without the proof
}

// What counts until something was measured: a little less than two shared cores do on loopback.
const (
	DefaultEntriesPerS    Rate = 30_000
	DefaultLocalBytesPerS Rate = 150e6
	DefaultWireBytesPerS  Rate = 100e6
	DefaultProofBytesPerS Rate = 400e6
	DefaultCutS           Cost = 0.05
)

// What a measurement is taken for at least and at most, so that one odd clock or one stalled disk decides nothing for
// the rest of a node's life.
const (
	minEntriesPerS, maxEntriesPerS Rate = 100, 10e6
	minBytesPerS, maxBytesPerS     Rate = 64 << 10, 20e9
	minCutS, maxCutS               Cost = 0.001, 10
)

const (
	// newWeight is the share that a measurement has in the next average: about the last eight count.
	newWeight = 0.25
	// Less than this says more about waiting than about speed, and is not counted.
	minEntries  = 100
	minBytes    = 1 << 20
	minDuration = time.Millisecond
)

// WithReplay counts entries that were replayed.
func (r Rates) WithReplay(n uint64, took time.Duration) Rates {
	if n >= minEntries {
		r.EntriesPerS = r.EntriesPerS.with(n, took, minEntriesPerS, maxEntriesPerS)
	}
	return r
}

// WithStaging counts bytes that were verified and stored.
func (r Rates) WithStaging(bytes uint64, took time.Duration) Rates {
	r.LocalBytesPerS = r.LocalBytesPerS.withBytes(bytes, took)
	return r
}

// WithFetch counts bytes that came from all sources of a copy. Under a limit of the operator it is the limit.
func (r Rates) WithFetch(bytes uint64, took time.Duration) Rates {
	r.WireBytesPerS = r.WireBytesPerS.withBytes(bytes, took)
	return r
}

// WithProof counts bytes that were read and hashed for a proof.
func (r Rates) WithProof(bytes uint64, took time.Duration) Rates {
	r.ProofBytesPerS = r.ProofBytesPerS.withBytes(bytes, took)
	return r
}

// WithCut counts a cut and a switch.
func (r Rates) WithCut(took time.Duration) Rates {
	if took > 0 {
		c := min(max(Cost(took.Seconds()), minCutS), maxCutS)
		if r.CutS.Measured() {
			c = r.CutS + newWeight*(c-r.CutS)
		}
		r.CutS = c
	}
	return r
}

func (r Rate) withBytes(n uint64, took time.Duration) Rate {
	if n < minBytes {
		return r
	}
	return r.with(n, took, minBytesPerS, maxBytesPerS)
}

// with is the next average. What took no time at all is not counted.
func (r Rate) with(n uint64, took time.Duration, lowest, highest Rate) Rate {
	if took < minDuration {
		return r
	}
	seen := min(max(Rate(float64(n)/took.Seconds()), lowest), highest)
	if !r.Measured() {
		return seen
	}
	return r + newWeight*(seen-r)
}

// Copying are the rates for copies that may bring in so many bytes a second, 0: any number. The log is not limited.
func (r Rates) Copying(limit int64) Rates {
	if limit <= 0 {
		return r
	}
	if !r.LocalBytesPerS.Measured() {
		r.LocalBytesPerS = DefaultLocalBytesPerS
	}
	r.LocalBytesPerS = min(r.LocalBytesPerS, Rate(limit)) // of the two that bound a copy, the one that bounds nothing else
	return r
}

// bounded puts the defaults where nothing was measured, and holds the rest between its bounds.
func (r Rates) bounded() Rates {
	between := func(v, unmeasured, lowest, highest Rate) Rate {
		if !v.Measured() {
			v = unmeasured
		}
		return min(max(v, lowest), highest)
	}
	r.EntriesPerS = between(r.EntriesPerS, DefaultEntriesPerS, minEntriesPerS, maxEntriesPerS)
	r.LocalBytesPerS = between(r.LocalBytesPerS, DefaultLocalBytesPerS, minBytesPerS, maxBytesPerS)
	r.WireBytesPerS = between(r.WireBytesPerS, DefaultWireBytesPerS, minBytesPerS, maxBytesPerS)
	r.ProofBytesPerS = between(r.ProofBytesPerS, DefaultProofBytesPerS, minBytesPerS, maxBytesPerS)
	if !r.CutS.Measured() {
		r.CutS = DefaultCutS
	}
	r.CutS = min(max(r.CutS, minCutS), maxCutS)
	return r
}
