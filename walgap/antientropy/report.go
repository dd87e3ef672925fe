package antientropy

import (
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Mode is how a check gets the replicas to one place.
type Mode uint8

// The modes.
const (
	AdvancedVerify Mode = iota // a cut in the log
	Verify                     // nothing in the log: replicas that stand at different indices are not compared
)

// Options are what is asked of one check.
type Options struct {
	Mode Mode
	// Quick first looks whether all stand at one place with one root; then there is no cut.
	Quick  bool
	Deep   bool // every replica reads everything it has
	Repair bool // what is wrong is repaired, by cuts in the log whatever the mode is
	// Progress is told of bytes that replicas have read. Nil: nobody.
	Progress func(bytes int64)
	// Seat is the check's among those of whoever bounds them, who takes it, and leaves it in the end. The check leaves it
	// while it only waits: for another check of its group, and for repairs, which have bounds of their own and may hang;
	// and comes back to one before it asks or reads anything more. Nil: nobody bounds it.
	Seat *Seat
}

// Report is the result of a check of one group.
type Report struct {
	Group uint32
	// Equal: every assigned replica was checked, and all are equal at the end. A proof.
	Equal    bool
	Quick    bool  // found without a cut
	Place    Place // of the last comparison
	Damaged  bool  // a difference or damage was found
	Repaired bool  // all of it was repaired, and found equal at a later cut
	Disputed bool  // no majority could say who is wrong: an alarm
	// Unchecked says why not every replica was checked, "": all were. A group may be damaged and unchecked.
	Unchecked string
	Passing   bool     // only the moment was wrong: try soon
	Missing   []string // nodes that did not take part

	Findings      []Finding // at most MaxFindings
	FindingsTotal int
	BytesRead     int64 // off the disks
	BytesCompared int64 // of the leaves whose roots were compared, all replicas together
	Began, Ended  time.Time
	Attempts      int
}

// Finding is one difference or damage. Leaf, From and To are nil where they do not apply.
type Finding struct {
	Group    uint32
	Node     string
	Kind     Kind
	Leaf     *digest.Leaf
	From, To *int64   // ns, of the points that are touched; a last time, not an end
	Devices  []string // bounded
	More     bool     // more devices are touched
	Verdict  Verdict
	Action   Action
	Why      string // for logs: which replicas say what
}

// Kind is what a finding is about.
type Kind uint8

// The kinds.
const (
	Data     Kind = iota
	Metadata      // structure, digests, votes
	Free          // what nothing reads
	Log
)

var kindNames = [...]string{Data: "data", Metadata: "metadata", Free: "free", Log: "log"}

// String is the name that results show.
func (k Kind) String() string { return nameOf(kindNames[:], uint8(k), "kind") }

// Verdict is what the judge says of it.
type Verdict uint8

// The verdicts.
const (
	Wrong Verdict = iota
	Unreadable
	Disputed
	Harmless
)

var verdictNames = [...]string{Wrong: "wrong", Unreadable: "unreadable", Disputed: "disputed", Harmless: "harmless"}

// String is the name that results show.
func (v Verdict) String() string { return nameOf(verdictNames[:], uint8(v), "verdict") }

// Action is what became of it.
type Action uint8

// The actions.
const (
	NoAction     Action = iota // a repair was not asked for, or cannot be
	Repaired                   // and equal at a later cut
	LeftAlone                  // harmless
	RepairFailed               // a repair was tried
)

var actionNames = [...]string{NoAction: "none", Repaired: "repaired", LeftAlone: "harmless", RepairFailed: "failed"}

// String is the name that results show.
func (a Action) String() string { return nameOf(actionNames[:], uint8(a), "action") }

func nameOf(names []string, i uint8, what string) string {
	if int(i) < len(names) {
		return names[i]
	}
	return fmt.Sprintf("%s %d", what, i)
}
