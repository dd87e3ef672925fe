// Package reconcile brings the Raft configuration of each group that this node
// leads to what the assignment wants, one change at a time.
//
// Next is the pure decision: from the members, the servers that are wanted and
// what is known of them to one Step. Loop acts: it gathers, decides, carries
// the step out, and looks again. A new server is added without a vote, must
// catch up through the log, and must show the leader's root at one cut; only
// then it gets a vote. A server is removed only after every wanted one votes,
// and only while a quorum of those that stay answers.
//
// A node that has lost what it promised runs a group under a new id: that is a
// new server like any other, and its old one is removed in the end. Nobody
// announces it, so that the holders of settled groups are asked now and then.
//
// It moves no data: a server that the log does not reach, and one that has
// nothing of a group that has points, waits for a resync. Its node is told
// (Copies), and the reason is kept as `why`.
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
	// Unproven says why it is not proven now: earlier proofs failed; "" else.
	Unproven string
	// NoCopy: its node copies nothing, or could not: the log has to do.
	NoCopy bool
}

// View is what the leader of a group knows.
type View struct {
	Self     membership.ServerID
	Members  []raftgroup.Member
	Index    uint64 // of the configuration
	FirstLog uint64 // first index of the leader's log; of an empty one the next, 0 if there never was an entry
	Applied  uint64 // by the leader's FSM
	Points   uint64 // in the leader's shard
	Wanted   []Wanted
	Others   []membership.ServerID // members that nobody wants, and that answered under this id
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
	Target membership.ServerID // StepNone: what Why is about
	Why    string              // StepNone only: what is missing; "" if nothing is
	Copy   bool                // StepNone only: Target's node has to copy first
}

// Next decides. Adding comes before removing; a server is removed only when
// every wanted one is a voter, so that the quorum never rests on fewer proven
// replicas than the assignment names.
func Next(v View) Step {
	waiting := Step{}
	wait := func(w Wanted, format string, args ...any) {
		if !waiting.Copy { // what somebody has to be told goes before what time brings
			waiting = Step{Target: w.ID, Why: fmt.Sprintf(format, args...)}
		}
	}
	for _, w := range v.Wanted {
		at := slices.IndexFunc(v.Members, func(m raftgroup.Member) bool { return m.ID == w.ID })
		switch {
		case at >= 0 && v.Members[at].Voter:
			continue
		case !w.Reachable:
			wait(w, "%s does not answer", w.ID)
		case at < 0:
			why, needsCopy := v.cannotAdd(w)
			if why == "" {
				return Step{Kind: StepAdd, Target: w.ID}
			}
			wait(w, "%s", why)
			waiting.Copy = waiting.Copy || needsCopy
		case w.Applied+MaxLag < v.Applied:
			wait(w, "%s is catching up: at %d of %d", w.ID, w.Applied, v.Applied)
		case w.Unproven != "":
			wait(w, "%s", w.Unproven)
		default:
			return Step{Kind: StepProve, Target: w.ID}
		}
	}
	if waiting.Why != "" {
		return waiting
	}
	return v.removal()
}

// cannotAdd says why a server cannot be brought up to date through the log, ""
// if it can: the log has to hold the last entry that it has, or to be whole and
// have nothing to tell. needsCopy: a resync brings it there.
func (v View) cannotAdd(w Wanted) (why string, needsCopy bool) {
	was, renewed := newest(v.Members, w.ID.NodeID)
	replays := v.FirstLog <= 1 || w.Applied >= v.FirstLog
	switch {
	case renewed && was.Generation > w.ID.Generation:
		return fmt.Sprintf("%s runs under another id than %s, which is newer: its data directory was set back", w.ID, was), false
	case replays && (w.NoCopy || w.Applied > 0 || v.Points == 0):
		return "", false
	case replays:
		return fmt.Sprintf("%s needs a copy: it holds nothing yet", w.ID), true
	case renewed:
		return fmt.Sprintf("%s runs under another id than %s, needs a copy: it has what is up to %d, the log starts at %d",
			w.ID, was, w.Applied, v.FirstLog), true
	}
	return fmt.Sprintf("%s needs a resync: the log starts at %d", w.ID, v.FirstLog), true
}

// newest is the member of a node with the highest generation: where there are
// two, the node has given the other one up for ever.
func newest(members []raftgroup.Member, node membership.NodeID) (id membership.ServerID, ok bool) {
	for _, m := range members {
		if m.ID.NodeID == node && (!ok || m.ID.Generation > id.Generation) {
			id, ok = m.ID, true
		}
	}
	return id, ok
}

// removal picks a member that nobody wants: the ones without a vote first, then
// those that do not answer, since every other order could leave a quorum that
// counts on them.
func (v View) removal() Step {
	answers := map[membership.ServerID]bool{v.Self: true}
	wanted := make(map[membership.ServerID]bool)
	for _, w := range v.Wanted {
		wanted[w.ID] = true
		answers[w.ID] = answers[w.ID] || w.Reachable
	}
	for _, id := range v.Others {
		answers[id] = true
	}
	worth := func(m raftgroup.Member) int { // how much is lost with it
		switch {
		case !m.Voter:
			return 0
		case !answers[m.ID]:
			return 1
		}
		return 2
	}
	var target *raftgroup.Member
	voters, live := 0, 0 // without the target
	for i, m := range v.Members {
		if m.Voter {
			voters++
		}
		if m.Voter && answers[m.ID] {
			live++
		}
		if m.ID != v.Self && !wanted[m.ID] && (target == nil || worth(m) < worth(*target)) {
			target = &v.Members[i]
		}
	}
	if target == nil {
		return Step{}
	}
	if target.Voter {
		voters--
	}
	if target.Voter && answers[target.ID] {
		live--
	}
	if 2*live <= voters { // without a vote it loses none, but the change would not be committed
		return Step{Target: target.ID, Why: fmt.Sprintf("%s stays: without it %d of %d voters answer, which is no quorum", target.ID, live, voters)}
	}
	return Step{Kind: StepRemove, Target: target.ID}
}
