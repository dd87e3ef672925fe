package raftlog

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// AppendDeadline bounds one append. A disk that takes longer is treated as failed: a leader whose disk
// hangs otherwise leads for ever (Raft's heartbeats do not pass through the log).
const AppendDeadline = 10 * time.Second

// Engine holds the logs of all groups of one node. Open gives the log of a group, empty if the group is
// not known yet; a group is open at most once at a time. Close flushes, waits for the engine's
// goroutines, and makes every open Log fail with ErrClosed. Safe for concurrent use.
type Engine interface {
	Open(group uint32) (Log, error)
	Groups() []uint32 // groups with any record, sorted: these have been born on this node
	Bytes() int64     // bytes that the entries of all groups take (what log_retention is compared with)
	// Scrub reads at most about maxBytes of records back from disk and checks them, beside appends. It
	// begins at a cursor, "" for the beginning, and returns the next one, "" at the end; a cursor that means
	// nothing any more begins at the next record that is there. Bad records that it cannot mend are told to
	// OnCorrupt too. An error means that the scrub could not be done: try the same cursor again.
	Scrub(ctx context.Context, cursor string, maxBytes int64) (next string, bytes int64, bad []BadRecord, err error)
	// ScrubFrames is Scrub for what a Log's own Scrub does not read since it is no group's alone: headers of segments,
	// headers and directories of batches. An engine that has nothing of the kind is at the end at once.
	ScrubFrames(ctx context.Context, cursor string, maxBytes int64) (next string, bytes int64, bad []BadRecord, err error)
	Close() error
	Name() string // "shared" or "boltdb"
}

// Log is the log of one group. Writes of one log are serialised by it; reads run beside them.
//
// DeleteRange(min, max) with max <= the snapshot index is compaction: it ends below the floor, and what
// the floor kept is deleted by a later Compact (or DeleteRange). Anything else is a conflict truncation:
// exactly min..last, durable when it returns.
type Log interface {
	raft.LogStore

	// SetFloor sets the first index that must stay, whatever Raft wants to compact. Nil (and the state
	// after Open) means that nothing may be compacted.
	SetFloor(floor func() uint64)
	// SetSnapshotIndex sets the index of the snapshot record, which tells compaction from truncation.
	// Nil (and the state after Open) is index 0: every deletion is a truncation.
	SetSnapshotIndex(index func() uint64)
	// SetApplied sets the index that the state machine has applied. Entries above it are kept in memory (bounded),
	// so that rot on disk does not keep Raft from them, and is repaired from there. Optional.
	SetApplied(index func() uint64)

	// Compact deletes what an earlier compaction wanted to delete and the floor kept.
	Compact() error
	// Reset makes the log empty; the next append must be `next` (0: any index). It begins a new life of
	// the log, under the given generation, which may not be lower than the present one.
	Reset(next uint64, generation uint32) error
	// Drop deletes first..through whatever floor and snapshot index say: for a log with a bad record, by
	// its owner, while no Raft instance runs on it. Dropping all leaves `through+1` as the next index.
	Drop(through uint64) error
	// Generation is the one given to the last Reset, 0 before any.
	Generation() uint32
	// Bytes is what the entries of this log take, exact to within one segment.
	Bytes() int64
	// Check returns nil if first..last has no hole and every entry of it can be read, else a
	// *CorruptError. Straight after the engine was opened it costs nothing (open has read every record).
	Check() error
	// Scrub is Engine's for this log alone: every entry from `from` on (0: the first) is read back from disk, at
	// most about maxBytes. next is where to go on, 0 at the end.
	Scrub(ctx context.Context, from uint64, maxBytes int64) (next uint64, bytes int64, bad []BadRecord, err error)
	// NextIndex is the only index that an append may start with; 0 for a log that takes any.
	NextIndex() uint64
	Close() error
}
