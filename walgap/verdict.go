package walgap

import "fmt"

// Kind is how a gap is closed.
type Kind uint8

// The kinds, cheapest first.
const (
	None   Kind = iota // there is no gap that the replica's own log does not close
	Replay             // Raft sends the entries that it lacks
	Delta              // the leaves that differ are copied
	Full               // all leaves are copied
)

var kindNames = [...]string{None: "none", Replay: "replay", Delta: "delta", Full: "full"}

// String is the name that jobs show.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", k)
}

// Copies reports whether leaves are moved.
func (k Kind) Copies() bool { return k == Delta || k == Full }

// Mode is what was asked for.
type Mode uint8

// The modes of a resync. Refusing and waiting are the same in all of them.
const (
	Auto        Mode = iota // the verdict
	FullSync                // full, whatever the gap is
	PartialSync             // delta, whatever the gap is, where there are sound data to compare with
)

var modeNames = [...]string{Auto: "auto", FullSync: "full-sync", PartialSync: "partial-sync"}

// String is the name that commands use.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return fmt.Sprintf("mode %d", m)
}

// ParseMode reads a name; the empty one is auto.
func ParseMode(name string) (Mode, error) {
	for m, known := range modeNames {
		if name == known {
			return Mode(m), nil
		}
	}
	if name == "" {
		return Auto, nil
	}
	return Auto, fmt.Errorf("mode %q: it is one of auto, full-sync and partial-sync", name)
}

// Verdict is what Judge decided. There are three forms: Decided (Kind and the price hold), Wait (ask again later), and
// neither (refused: asking again gives the same, until an operator did something).
type Verdict struct {
	Decided bool   `json:"decided"`
	Kind    Kind   `json:"kind"`
	Row     Row    `json:"row"`    // the condition that held
	Reason  string `json:"reason"` // one line for the operator, always there
	// BlockedBy says what has to happen before a verdict is possible. Empty when Decided.
	BlockedBy string `json:"blocked_by,omitempty"`
	Wait      bool   `json:"wait,omitempty"`
	// Alarm: it waits for something that may never come by itself; somebody should know.
	Alarm bool `json:"alarm,omitempty"`
	// FromRecord: no cut can commit without the target, so the copy is made of what the leader's snapshot record names.
	FromRecord bool `json:"from_record,omitempty"`

	// From is the first entry that the target lacks, of a replay. Else 0.
	From    uint64  `json:"from,omitempty"`
	Entries uint64  `json:"entries,omitempty"` // to replay
	Bytes   uint64  `json:"bytes"`             // to move; of a delta an estimate until leaves were compared
	Seconds float64 `json:"seconds"`           // that it takes, at the rates given
}

// Keep is the first entry that a log lease has to keep for a replay, else 0: the one before From too, whose term Raft
// compares with the target's before it sends From.
func (v Verdict) Keep() uint64 {
	if v.From <= 1 {
		return v.From
	}
	return v.From - 1
}
