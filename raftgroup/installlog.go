package raftgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/hashicorp/raft"
)

// logFate is what becomes of a replica's log at an install.
type logFate uint8

const (
	// logKnowsMore: it may hold acked entries that the cut does not. No install.
	logKnowsMore logFate = iota
	// logKept: it holds the cut's own entry, so all up to there is equal, and what
	// follows may be acked. Raft keeps it in the same place.
	logKept
	// logReset: all that it may have acked is in the cut. It goes on behind it.
	logReset
	// logLeft: it has lost entries above the cut that it may have acked, or a vote.
	// Opening starts it under a new generation, and empties it then.
	logLeft
)

var fateNames = [...]string{"knows more", "kept", "reset", "left"}

// String gives the word used in logs and tests.
func (f logFate) String() string {
	if int(f) < len(fateNames) {
		return fateNames[f]
	}
	return fmt.Sprintf("logFate(%d)", uint8(f))
}

// installFacts are what decides about a log.
type installFacts struct {
	Foreign     bool   // of another lineage than the cut: its indices say nothing
	First, Last uint64 // both 0: empty
	Next        uint64 // the only index that an append may have; 0: any
	LastTerm    uint64 // 0 where the entry cannot be read
	CutTerm     uint64 // of its entry at the cut's index; 0: it has none that can be read
	Lost        bool   // bad or missing entries above the cut, or nobody knows how many; or a later term than the vote's
	Shard       storage.Position
	Joiner      bool // nothing was ever promised here: no vote record, no entries, no data
}

// decideLog is a pure function. Why the comparison of (term, index) tells what is
// acked: an entry at or below the cut's index that is committed is the cut's own
// history. One above it of an earlier term than the cut's cannot be committed,
// since the leader of the cut's term would have had it. One above it of the cut's
// term, or any of a later term, may be.
func decideLog(f installFacts, cut storage.Position) logFate {
	switch {
	case f.Foreign:
		return logReset
	case f.CutTerm == cut.Term && !f.Lost:
		return logKept
	case f.Lost:
		return logLeft
	case f.Last == 0 && f.Next > cut.Index+1:
		return logKnowsMore // trimmed to nothing behind the cut: that was applied
	case f.Last > 0 && above(storage.Position{Index: f.Last, Term: f.LastTerm}, cut),
		above(f.Shard, cut):
		return logKnowsMore
	}
	return logReset
}

// above compares the ends of two logs as an election does.
func above(p, cut storage.Position) bool {
	return p.Term > cut.Term || p.Term == cut.Term && p.Index > cut.Index
}

// installFacts looks at the log of a group that is closed.
func (h *Host) installFacts(group uint32, entries raftlog.Log, lineage string, cut storage.Position) (f installFacts, err error) {
	if f.First, err = entries.FirstIndex(); err != nil {
		return f, fmt.Errorf("first index: %w", err)
	}
	if f.Last, err = entries.LastIndex(); err != nil {
		return f, fmt.Errorf("last index: %w", err)
	}
	f.Next = entries.NextIndex()
	if f.Lost, err = lostAbove(entries, cut.Index); err != nil {
		return f, err
	}
	if f.LastTerm, err = termAt(entries, f.Last); err != nil {
		return f, err
	}
	if f.CutTerm, err = termAt(entries, cut.Index); err != nil {
		return f, err
	}
	vote, voted, err := h.config.Votes.Record(group)
	switch {
	case errors.Is(err, raftlog.ErrVoteUnreadable):
		voted = true // and opening renews it
	case err != nil:
		return f, fmt.Errorf("read vote record: %w", err)
	}
	shard, of, err := h.durable(group)
	if err != nil {
		return f, err
	}
	if of == lineage {
		f.Shard = shard.Position
	}
	logOf := vote.Lineage // "" where the record is missing or cannot be read
	if logOf == "" {
		logOf = of
	}
	f.Foreign = logOf != "" && logOf != lineage
	f.Lost = f.Lost || voted && forgot(vote, f)
	_, absent := os.Stat(h.shardPath(group))
	noData := errors.Is(absent, fs.ErrNotExist) || of != "" && shard.Index == 0
	f.Joiner = !voted && f.Last == 0 && f.Next <= 1 && noData
	return f, nil
}

// lostAbove reports whether a log has bad or missing entries above an index.
func lostAbove(entries raftlog.Log, index uint64) (bool, error) {
	var corrupt *raftlog.CorruptError
	switch err := entries.Check(); {
	case errors.As(err, &corrupt):
		return corrupt.TailUnknown || corrupt.Index > index, nil
	case err != nil:
		return false, fmt.Errorf("check log: %w", err)
	}
	return false, nil
}

// forgot reports whether a replica that has voted has lost its log, or a later
// vote. Opening sees that as well, but no more once log and term fit the cut.
func forgot(vote raftlog.VoteRecord, f installFacts) bool {
	return vote.CurrentTerm >= termOfVotes && f.Last == 0 && f.Next == 0 || vote.CurrentTerm < f.LastTerm
}

// termAt is the term of an entry, 0 where the log has none that can be read.
func termAt(entries raftlog.Log, index uint64) (uint64, error) {
	var entry raft.Log
	var corrupt *raftlog.CorruptError
	switch err := entries.GetLog(index, &entry); {
	case errors.Is(err, raft.ErrLogNotFound), errors.As(err, &corrupt):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("entry %d: %w", index, err)
	}
	return entry.Term, nil
}
