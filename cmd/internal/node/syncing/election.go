package syncing

import (
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/walgap"
)

// entriesOfElection is what a leader appends before anybody writes: Raft's no-op
// and the command that shows its state machine that it leads.
const entriesOfElection = 2

// onlyElection reports whether a replica that is to replay has all but what
// leaders put there to lead: nothing was written that it lacks.
func onlyElection(l walgap.Leader, t walgap.Target) bool {
	return hasAllBeforeTerm(l, t) && l.Last < l.Terms[len(l.Terms)-1].First+entriesOfElection
}

// writtenSince reports whether all that a replica lacks came after its report:
// the leader began to lead later.
func writtenSince(l walgap.Leader, ledFor time.Duration, t walgap.Target, ago time.Duration) bool {
	return ledFor > 0 && ledFor < ago && hasAllBeforeTerm(l, t)
}

// hasAllBeforeTerm reports whether nothing was written between the last entry of
// a replica and the term of the leader: others may have led for a moment, as when
// all nodes start together.
func hasAllBeforeTerm(l walgap.Leader, t walgap.Target) bool {
	last := max(t.Last, t.Applied.Index)
	i := slices.IndexFunc(l.Terms, func(r walgap.TermRun) bool { return r.First == last+1 })
	if i < 0 {
		return false
	}
	for ; i+1 < len(l.Terms); i++ {
		if l.Terms[i+1].First-l.Terms[i].First > entriesOfElection {
			return false
		}
	}
	return true
}
