package raftgroup

import (
	"fmt"

	"github.com/flotilla-db/flotilla/membership"
)

// Action is how a group may be opened.
type Action uint8

// The actions. A group that is refused stays closed and says why; all others
// end in a running Raft instance.
const (
	// ActionRefuse: nothing is touched. An operator or a resync has to act.
	ActionRefuse Action = iota
	// ActionStart: log, vote and shard fit together: start as what we were.
	ActionStart
	// ActionBootstrap: this server is listed in the birth record, and nothing
	// here knows the group: bootstrap with exactly the record's voters.
	ActionBootstrap
	// ActionJoin: the group is assigned to this node, which was not born into
	// it: start empty and wait until the leader adds this server.
	ActionJoin
	// ActionRenew: what this node promised or acked under its id is lost. Its
	// log is dropped up to what the shard holds, and it starts under a new
	// generation, which the leader has to add as a non-voter first.
	ActionRenew
)

var actionNames = [...]string{"refuse", "start", "bootstrap", "join", "renew"}

// String gives the word used in logs.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// Evidence is all that is known of a group on this node before it is opened.
type Evidence struct {
	Self     membership.NodeID
	Group    uint32
	Birth    *membership.Birth // nil: none is known here
	Assigned bool              // the table lists this node as a holder
	Vote     VoteEvidence
	Log      LogEvidence
	Shard    ShardEvidence
	// Configured is the highest generation of this node in the group's
	// configuration as its leader reports it; 0 if unknown.
	Configured uint32
}

// VoteEvidence is what votes.db says of the group.
type VoteEvidence struct {
	Present     bool
	Unreadable  bool
	Lineage     string
	Generation  uint32
	CurrentTerm uint64
}

// LogEvidence is what the log engine says of the group.
type LogEvidence struct {
	Known       bool   // the engine has a record of the group, entries or not
	First, Last uint64 // both 0: empty
	Next        uint64 // the only index that an append may have; 0: any
	LastTerm    uint64
	Generation  uint32
	Damage      string // "": first..last is whole and readable
	DamagedAt   uint64 // the first bad or missing entry
	TailUnknown bool   // nothing tells how many entries were lost from DamagedAt on
}

// ShardEvidence is what the shard's file says.
type ShardEvidence struct {
	Present bool
	Damage  string // "": it opened
	Strange bool   // Damage is that this binary does not know its layout
	Lineage string
	Index   uint64 // durable applied
	Term    uint64
}

// Decision says how to open a group.
type Decision struct {
	Action     Action
	Lineage    string
	Generation uint32
	// ForgetVote: remove the vote record of a birth that was cut short first.
	ForgetVote bool
	// DropLog: drop the log up to and including this bad entry, and decide
	// again; 0: nothing.
	DropLog uint64
	// ResetLog: empty the log and continue at this index; 0: leave it alone.
	ResetLog uint64
	// RaiseTerm: the vote record must hold at least this term before the start.
	RaiseTerm uint64
	// Why says in one line what was lost or what is missing; "" if nothing is.
	Why string
}

// Server is the id under which the decision lets this node start.
func (d Decision) Server(self membership.NodeID) membership.ServerID {
	return self.Server(d.Generation)
}

const whyUnadded = "waits to be added by the group's leader"

// Decide is the rule of who may start under which id. It is a pure function.
//
//  1. Nothing known here: bootstrap if the birth record lists this node's
//     generation 0, join if the group is assigned to it, else refuse.
//  2. A vote record with term <= 1, and neither log nor shard: a birth that was
//     cut short. Nobody votes or acks in term 1, so it may be repeated, once
//     its record is known here (after a start the table comes later).
//  3. Another lineage than that of the birth record or between the parts:
//     refuse, since indices compare only within one lineage.
//  4. A shard that cannot be read: refuse; it goes to resync.
//  5. The vote record, or acked entries, are lost: a new generation.
//  6. The log begins above the next entry that the shard needs: refuse; it
//     waits for a resync.
//  7. Otherwise start. A bad entry that the shard has applied is dropped with
//     all before it; a log that ends below the shard is reset behind it.
func Decide(e Evidence) Decision {
	if d, born := decideUnborn(e); !born {
		return d
	}
	lineage, conflict := e.lineage()
	if conflict != "" {
		return Decision{Action: ActionRefuse, Lineage: lineage, Generation: e.Vote.Generation, Why: conflict}
	}
	if e.Shard.Damage != "" {
		return Decision{Action: ActionRefuse, Lineage: lineage, Generation: e.Vote.Generation,
			Why: damageWhy(e.Shard.Damage)}
	}
	if lost := e.lost(); lost != "" {
		return Decision{
			Action: ActionRenew, Lineage: lineage, Generation: e.nextGeneration(),
			ResetLog: e.Shard.Index + 1, RaiseTerm: e.Shard.Term, Why: lost,
		}
	}
	d := Decision{Action: ActionStart, Lineage: lineage, Generation: e.Vote.Generation}
	if e.Log.damaged() { // at or below applied, says lost()
		d.DropLog = e.Log.DamagedAt
		return d
	}
	switch first, last := e.Log.span(); {
	case last < e.Shard.Index:
		d.ResetLog = e.Shard.Index + 1
	case first > e.Shard.Index+1:
		return Decision{Action: ActionRefuse, Lineage: lineage, Generation: e.Vote.Generation,
			Why: fmt.Sprintf("log begins at %d, shard %s: waits for a resync", first, e.Shard.end())}
	}
	return d
}

// end is where the shard ends, for people.
func (s ShardEvidence) end() string {
	if !s.Present {
		return "is missing"
	}
	return fmt.Sprintf("ends at %d", s.Index)
}

// span is first..last; of an empty log the place where it goes on.
func (l LogEvidence) span() (first, last uint64) {
	if l.Last == 0 && l.Next > 0 {
		return l.Next, l.Next - 1
	}
	return l.First, l.Last
}

// decideUnborn decides for a group that never lived here; born is true if it did.
func decideUnborn(e Evidence) (d Decision, born bool) {
	empty := e.Log.Last == 0 && !e.Log.damaged() && e.Shard.Index == 0 && e.Shard.Damage == ""
	cutShort := e.Vote.Present && !e.Vote.Unreadable && e.Vote.CurrentTerm <= 1 && e.Vote.Generation == 0
	unknown := !e.Vote.Present && !e.Vote.Unreadable && !(e.Log.Known && e.Log.Generation > 0)
	if !empty || !(unknown || cutShort) {
		return Decision{}, true
	}
	if e.Birth != nil {
		if server, listed := e.Birth.Voter(e.Self); listed && server.Generation == 0 {
			return Decision{Action: ActionBootstrap, Lineage: e.Birth.Lineage, ForgetVote: e.Vote.Present}, false
		}
	}
	if e.Vote.Present {
		// Without the birth record nothing tells a birth that was cut short from a
		// joiner that heard of term 1 only. It waits for the record: to renew the
		// first would take a voter from a group that may not have another.
		return Decision{Why: "group has no birth record yet"}, e.Birth != nil
	}
	if !e.Assigned {
		return Decision{Why: "group is neither born here nor assigned to this node"}, false
	}
	if e.Birth == nil {
		return Decision{Why: "group has no birth record yet"}, false
	}
	generation := uint32(0)
	if e.Configured > 0 {
		generation = e.Configured + 1
	}
	return Decision{Action: ActionJoin, Lineage: e.Birth.Lineage, Generation: generation,
		Why: whyUnadded}, false
}

func (l LogEvidence) damaged() bool { return l.Damage != "" }

// lineage finds the one history that all parts speak of.
func (e Evidence) lineage() (lineage, conflict string) {
	parts := []struct{ where, lineage string }{{"shard", e.Shard.Lineage}}
	if e.Vote.Present && !e.Vote.Unreadable {
		parts = append(parts, struct{ where, lineage string }{"vote record", e.Vote.Lineage})
	}
	if e.Birth != nil {
		parts = append(parts, struct{ where, lineage string }{"birth record", e.Birth.Lineage})
	}
	found := ""
	for _, p := range parts {
		switch {
		case p.lineage == "":
		case lineage == "":
			lineage, found = p.lineage, p.where
		case p.lineage != lineage:
			return lineage, fmt.Sprintf("lineage of the %s is %s, of the %s %s", found, lineage, p.where, p.lineage)
		}
	}
	if lineage == "" {
		return "", "no part of the group here says which lineage it is of"
	}
	return lineage, ""
}

// lost says which promise of this server's id is gone, "" if none is.
func (e Evidence) lost() string {
	switch {
	case e.Vote.Unreadable:
		return "vote record is unreadable"
	case !e.Vote.Present:
		return "vote record is missing"
	case e.Vote.CurrentTerm < e.Log.LastTerm:
		return fmt.Sprintf("vote record's term %d is below the log's %d", e.Vote.CurrentTerm, e.Log.LastTerm)
	case e.Vote.CurrentTerm < e.Shard.Term:
		return fmt.Sprintf("vote record's term %d is below the shard's %d", e.Vote.CurrentTerm, e.Shard.Term)
	case e.Log.Generation > e.Vote.Generation:
		return fmt.Sprintf("log is of generation %d, vote record of %d", e.Log.Generation, e.Vote.Generation)
	case e.Log.damaged() && (e.Log.TailUnknown || e.Log.DamagedAt > e.Shard.Index):
		return "log is damaged above the shard's applied index: " + e.Log.Damage
	case !e.Log.Known && e.Log.Last == 0:
		return "log is missing"
	}
	return ""
}

// nextGeneration is 1 + the highest that anything remembers.
func (e Evidence) nextGeneration() uint32 {
	return 1 + max(e.Vote.Generation, e.Log.Generation, e.Configured)
}
