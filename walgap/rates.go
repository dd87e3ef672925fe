package walgap

// Rate is so many a second, as measured. Zero: never measured.
type Rate float64

// Measured reports whether it was.
func (r Rate) Measured() bool { return r > 0 }

// Cost is a number of seconds, as measured. Zero: never measured.
type Cost float64

// Measured reports whether it was.
func (c Cost) Measured() bool { return c > 0 }

// Rates are what a node measured of its own work. Values only: observing gives new Rates.
type Rates struct {
	EntriesPerS    Rate // replayed from the log
	LocalBytesPerS Rate // staged: verified, written and synced
	WireBytesPerS  Rate // received from all sources of a copy together
	ProofBytesPerS Rate // re-read and re-hashed for a proof
	CutS           Cost // a cut and a switch, without the proof
}
