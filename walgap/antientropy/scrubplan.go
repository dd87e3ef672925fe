package antientropy

import "time"

// Part is one thing that a scrub reads from its begin to its end: a shard, the log of a group, the votes.
type Part struct {
	Name  string
	Bytes int64     // about
	Since time.Time // it has been on this node since
	Done  time.Time // when it was last read to its end; zero: never
}

// Scrub is how far the scrub of a node has got. It is kept over restarts, as JSON.
type Scrub struct {
	Part      string               `json:"part,omitempty"`      // that is being read, "": none
	Cursor    string               `json:"cursor,omitempty"`    // where in it
	Read      int64                `json:"read,omitempty"`      // bytes of it, up to the cursor
	StartedAt time.Time            `json:"started_at,omitzero"` // of the part
	Done      map[string]time.Time `json:"done,omitempty"`      // when each part was last read to its end
}

// ScrubStep is what to do next.
type ScrubStep struct {
	Part     string // to read of, "": nothing is due
	Cursor   string
	MaxBytes int64
	Wait     time.Duration // before that
	Rate     float64       // bytes/s that it comes to
	Late     bool          // the interval cannot be kept at the rate that is allowed
}

// NextScrub is the next step of a node's scrub. It is pure.
func NextScrub(now time.Time, s Settings, state Scrub, parts []Part) ScrubStep { return ScrubStep{} }

// Advance notes that a step was made: bytes were read, and next is the cursor behind them, "" at the end of the part.
func (s *Scrub) Advance(now time.Time, step ScrubStep, next string, bytes int64) {}

// Forget drops what is known of parts that are not on this node any more.
func (s *Scrub) Forget(parts []Part) {}
