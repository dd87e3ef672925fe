package raftlog

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed: the log or engine is closed. The caller is shutting down, or forgot to open.
	ErrClosed = errors.New("log is closed")
	// ErrOpen: the group's log is open already. Close the old instance first.
	ErrOpen = errors.New("log is already open")
	// ErrGap: an append that does not start at the next index (last+1). Nothing was written. Raft and the
	// log disagree about its end: stop the instance and Check the log.
	ErrGap = errors.New("append does not start at the next index")
	// ErrNotSuffix: a truncation that would leave a hole. Nothing was deleted.
	ErrNotSuffix = errors.New("deletion would leave a hole in the log")
	// ErrBelowSnapshot: a conflict truncation that reaches the snapshot record, so that it would delete
	// entries the state machine has applied. Nothing was deleted: the replica has diverged and needs a resync.
	ErrBelowSnapshot = errors.New("truncation reaches below the snapshot record")
	// ErrTooLarge: an entry above MaxEntryBytes. Nothing was written. Split the proposal.
	ErrTooLarge = errors.New("log entry is too large")
	// ErrNoSpace: the disk has no room for another segment. The log is what it was before the call (of a
	// request that takes more than one batch, the first entries may be there after a restart, without a
	// hole); the engine goes on, and appends work again when there is room. Refuse new data, hand over
	// leaderships.
	ErrNoSpace = errors.New("no space for the log")
	// ErrFailed: a disk error or a missed deadline has stopped the engine; the outcome of the call that
	// met it is unknown. Exit the process.
	ErrFailed = errors.New("log has failed")
	// ErrGeneration: Reset with a generation below the present one.
	ErrGeneration = errors.New("generation goes backwards")
	// ErrFormat: a file of another version or not of ours. Use the binary that wrote it.
	ErrFormat = errors.New("unknown log format")
	// ErrDamaged: a bbolt file whose structure is damaged. It is closed and not written again.
	ErrDamaged = errors.New("file is damaged")
	// ErrVotesMissing: a used directory without its vote file. The node needs a new incarnation.
	ErrVotesMissing = errors.New("vote file is missing")
	// ErrVoteUnreadable: a vote record that fails its CRC. The group may not start under this generation.
	ErrVoteUnreadable = errors.New("vote record is unreadable")
)

// CorruptError says which entry of which log cannot be read. The owner of the group acts on it: an entry
// at or below the durable applied index is dropped with Log.Drop(Index); one above it needs a new generation.
type CorruptError struct {
	Group uint32
	Index uint64 // the first entry that is bad or missing
	// TailUnknown: damage on disk may have taken entries from Index on, and nothing tells how many: treat
	// the log as one that has lost acked entries after Index-1.
	TailUnknown bool
	Where       string // file and offset, for the operator
	Reason      string
}

func (e *CorruptError) Error() string {
	s := fmt.Sprintf("log of group %d: entry %d: %s", e.Group, e.Index, e.Reason)
	if e.Where != "" {
		s += " (" + e.Where + ")"
	}
	return s
}
