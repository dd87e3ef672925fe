// Package reconcile brings the Raft configuration of each group that this node
// leads to what the assignment wants, one change at a time.
//
// Next is the pure decision: from the members, the servers that are wanted and
// what is known of them to one Step. Loop acts: it gathers, decides, carries
// the step out, and looks again. A new server is added without a vote, must
// catch up through the log, and must show the leader's root at one cut; only
// then it gets a vote. A server is removed only after every wanted one votes.
//
// It moves no data: a server that the log does not reach waits, with the reason
// kept as `why`, for a resync.
package reconcile

import (
	"fmt"
	"slices"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
)

// MaxLag is how many entries a server without a vote may be behind when it is
// proven: the cut of the proof has to reach it soon.
const MaxLag = 64

// Wanted is a server that should vote in a group.
type Wanted struct {
	ID membership.ServerID
	// Reachable reports whether its node answered and holds the group open
	// under this id.
	Reachable bool
	Applied   uint64 // by its FSM; 0 unless reachable
}

// View is what the leader of a group knows.
type View struct {
	Self     membership.ServerID
	Members  []raftgroup.Member
	Index    uint64 // of the configuration
	FirstLog uint64 // first index of the leader's log, 0 if it is empty
	Applied  uint64 // by the leader's FSM
	Wanted   []Wanted
}

// StepKind is what is to be done next.
type StepKind uint8

const (
	// StepNone: the configuration is what is wanted, or nothing can be done now.
	StepNone StepKind = iota
	// StepAdd: add Target without a vote.
	StepAdd
	// StepProve: compare Target with the leader at a cut, then let it vote.
	StepProve
	// StepRemove: remove Target, which nobody wants.
	StepRemove
)

// Step is one change, or the reason why there is none.
type Step struct {
	Kind   StepKind
	Target membership.ServerID
	Why    string // StepNone only: what is missing; "" if nothing is
}

// Next decides. Adding comes before removing; a server is removed only when
// every wanted one is a voter, so that the quorum never rests on fewer proven
// replicas than the assignment names.
func Next(v View) Step {
	waiting := Step{}
	for _, w := range v.Wanted {
		at := slices.IndexFunc(v.Members, func(m raftgroup.Member) bool { return m.ID == w.ID })
		switch {
		case at >= 0 && v.Members[at].Voter:
			continue
		case !w.Reachable:
			waiting.Why = fmt.Sprintf("%s does not answer", w.ID)
		case at < 0 && v.FirstLog > 1:
			waiting.Why = fmt.Sprintf("%s needs a resync: the log starts at %d", w.ID, v.FirstLog)
		case at < 0:
			return Step{Kind: StepAdd, Target: w.ID}
		case w.Applied+MaxLag < v.Applied:
			waiting.Why = fmt.Sprintf("%s is catching up: at %d of %d", w.ID, w.Applied, v.Applied)
		default:
			return Step{Kind: StepProve, Target: w.ID}
		}
	}
	if waiting.Why != "" {
		return waiting
	}
	for _, m := range v.Members {
		if m.ID != v.Self && !slices.ContainsFunc(v.Wanted, func(w Wanted) bool { return w.ID == m.ID }) {
			return Step{Kind: StepRemove, Target: m.ID}
		}
	}
	return Step{}
}
