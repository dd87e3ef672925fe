package raftgroup

import (
	"github.com/hashicorp/raft"
)

// After an install with an empty log the entries up to the record are in the
// shard alone, and a leader whose next index for this replica lies below it sends
// them all the same, behind an entry that this log does not have. Raft would
// refuse that for ever: the leader's next index falls by one at each refusal, and
// at 1 it would store entry 1 into a log that has to go on behind the record.
//
// What is at or below the record is committed and contained. So such a request is
// moved up to the record before Raft sees it. A leader in a term that Raft takes
// has all that was committed before, so its entries up to the record are those
// that are contained; where it sends the record's own entry, that is checked.

// startedBehind reports whether index lies below the record that this instance
// started from, and Raft can still tell that record's term.
func (in *instance) startedBehind(index uint64) bool {
	if index >= in.startedFrom.Index {
		return false
	}
	term, ok := in.termOf(in.startedFrom.Index)
	return ok && term == in.startedFrom.Term
}

// rebase gives the request that Raft is to see; it changes nothing in r.
func (in *instance) rebase(r *raft.AppendEntriesRequest) *raft.AppendEntriesRequest {
	if r.PrevLogEntry >= in.startedFrom.Index || r.PrevLogEntry == 0 && len(r.Entries) == 0 {
		return r // as always, or a heartbeat
	}
	if r.PrevLogEntry > 0 {
		if _, ok := in.termOf(r.PrevLogEntry); ok {
			return r // Raft can judge it
		}
	} else if first, err := in.entries.FirstIndex(); err != nil || first == 1 {
		return r
	}
	if !in.startedBehind(r.PrevLogEntry) {
		return r
	}
	moved := *r
	moved.PrevLogEntry, moved.PrevLogTerm = in.startedFrom.Index, in.startedFrom.Term
	for len(moved.Entries) > 0 && moved.Entries[0].Index <= in.startedFrom.Index {
		if e := moved.Entries[0]; e.Index == in.startedFrom.Index && e.Term != in.startedFrom.Term {
			return r // another history: let Raft refuse it
		}
		moved.Entries = moved.Entries[1:]
	}
	// Raft commits up to the end of its log (raft 1.7.3, appendEntries), since a
	// leader comes down to the last entry that both have before it is taken. This
	// one was brought up to an earlier one: what follows is not known to be its own.
	moved.LeaderCommitIndex = min(moved.LeaderCommitIndex, moved.PrevLogEntry+uint64(len(moved.Entries)))
	return &moved
}

// termOf is the term of an entry that is in the log, or is a record that Raft
// knows.
func (in *instance) termOf(index uint64) (uint64, bool) {
	var entry raft.Log
	if err := in.logs.GetLog(index, &entry); err != nil || entry.Index != index {
		return 0, false
	}
	return entry.Term, true
}
