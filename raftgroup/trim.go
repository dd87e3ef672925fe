package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// leasesWithin bounds how long a trim waits for the leases to be known.
const leasesWithin = 10 * time.Second

// trimming is what bounds the deletion of log entries.
type trimming struct {
	mu      sync.Mutex // held by the one trim that is running
	pending uint64     // guarded by mu; a trim wanted to delete up to here and could not yet; 0: none

	through atomic.Uint64 // the running trim may delete up to here, see floor; 0: none runs
	settled atomic.Bool   // see leasesKnown
}

// leasesKnown reports whether the FSM has, since the start, applied a command
// of the term that was current then. Only now is every lease known that may lie
// in the part of the log that the shard had not flushed.
func (in *instance) leasesKnown() bool {
	if in.trimming.settled.Load() {
		return true
	}
	term, _ := in.fsm.appliedTerm()
	if term == 0 || term != in.raft.CurrentTerm() {
		return false
	}
	in.trimming.settled.Store(true)
	return true
}

// floor is the first index that must stay in the log: a deletion ends at
// min(durable applied, lowest live lease - 1), and at what the running trim
// wants. The snapshot record is the durable applied. Where that is above what
// the trim wants, the last entry of those stays: a follower that ends there is
// sent the next one with the term of this one, which Raft looks up in the log,
// or has of the record.
func (in *instance) floor() uint64 {
	if !in.leasesKnown() || in.held() {
		return 0
	}
	durable := in.shard.Durable().Index
	floor := durable + 1
	if through := in.trimming.through.Load(); through < durable {
		floor = through
	}
	if lease, ok := in.shard.LeaseFloor(); ok {
		floor = min(floor, lease)
	}
	// A pinned record stands for a cut, and no lease could be taken with it.
	if h := in.records.current(); h != nil && h.view != nil {
		floor = min(floor, h.at.Index)
	}
	return floor
}

// trim flushes the shard, takes a snapshot by reference and drops the log up to
// and including through, as far as the floor allows.
func (in *instance) trim(ctx context.Context, through uint64) error {
	in.trimming.mu.Lock()
	defer in.trimming.mu.Unlock()
	if in.held() {
		return fmt.Errorf("trim group %d: the replica waits for an install: %w", in.group, ErrHeld)
	}
	if !in.leasesKnown() {
		limited, cancel := context.WithTimeoutCause(ctx, leasesWithin, ErrNoQuorum)
		err := in.fsm.awaitTerm(limited, in.raft.CurrentTerm)
		cancel()
		if err != nil {
			return fmt.Errorf("trim group %d: no leader has committed anything here since the start, so what leases hold is not known: %w", in.group, err)
		}
	}
	in.trimming.through.Store(through)
	defer in.trimming.through.Store(0)
	err := in.raft.Snapshot().Error()
	if err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
		return fmt.Errorf("trim group %d: %w", in.group, err)
	}
	return in.compact(through)
}

// compact deletes through an index, as far as the floor allows, and notes what
// is left. The caller holds trimming.mu and has set trimming.through.
func (in *instance) compact(through uint64) error {
	in.trimming.pending = max(in.trimming.pending, through)
	if err := in.entries.Compact(); err != nil {
		return fmt.Errorf("trim group %d: %w", in.group, err)
	}
	first, err := in.entries.FirstIndex()
	if err != nil {
		return fmt.Errorf("trim group %d: %w", in.group, err)
	}
	if first == 0 || first >= in.trimming.pending {
		in.trimming.pending = 0
	}
	return nil
}

// complete deletes what an earlier trim wanted to delete and a lease still
// needed then. It waits for nothing.
func (in *instance) complete() error {
	if !in.trimming.mu.TryLock() {
		return nil
	}
	defer in.trimming.mu.Unlock()
	if in.trimming.pending == 0 || !in.leasesKnown() || in.held() {
		return nil
	}
	in.trimming.through.Store(in.trimming.pending)
	defer in.trimming.through.Store(0)
	return in.compact(in.trimming.pending)
}
