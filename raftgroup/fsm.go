package raftgroup

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/flotilla-db/flotilla/snapshot"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/hashicorp/raft"
)

// errDropped: a replica that is held for an install applies nothing; what it
// committed as a leader others apply.
var errDropped = errors.New("replica is held: the entry is only in its log")

var errRestore = errors.New("a shard is never restored through raft")

// fsm hands committed entries to the shard: commands and configuration entries,
// each once and in log order. Raft's own no-ops never get here, which is why a
// new leader proposes a no-op command of its own.
type fsm struct {
	shard   *storage.Shard
	entries []storage.Entry       // reused; only Raft's FSM goroutine calls ApplyBatch
	observe func([]storage.Entry) // for tests; nil otherwise
	onWrite func()                // told of entries that clients wrote; nil: nobody is

	applying turns // held while entries are applied, and to begin or end the drop
	dropping bool  // guarded by applying: the shard is held, see hold.go
	dropped  bool  // guarded by applying: entries were dropped, so that no other may be applied

	mu          sync.Mutex
	commandTerm uint64        // guarded by mu; term of the last applied command since the start
	changed     chan struct{} // guarded by mu; closed and replaced when commandTerm changes
	stirred     chan struct{} // guarded by mu; closed when entries were applied; nil: nobody waits
}

var _ raft.BatchingFSM = (*fsm)(nil)

func newFSM(shard *storage.Shard) *fsm {
	return &fsm{shard: shard, applying: newTurns(), changed: make(chan struct{})}
}

// drop makes the FSM drop what it is handed from now on, and returns when
// nothing is being applied any more. It never waits then: Raft's main loop
// would, and with it the vote.
func (f *fsm) drop(ctx context.Context) error {
	if err := f.applying.lock(ctx); err != nil {
		return err
	}
	defer f.applying.Unlock()
	f.dropping = true
	return nil
}

// resume ends the drop; false when entries were dropped: the instance has to be
// started again then.
func (f *fsm) resume() bool {
	f.applying.Lock()
	defer f.applying.Unlock()
	if f.dropped {
		return false
	}
	f.dropping = false
	return true
}

// ApplyBatch implements raft.BatchingFSM. The outcome of an entry is its
// response: nil or an error.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	f.applying.Lock()
	defer f.applying.Unlock()
	if f.onWrite != nil && slices.ContainsFunc(logs, writtenByClient) {
		f.onWrite()
	}
	if f.dropping {
		f.dropped = true
		responses := make([]any, len(logs))
		for i := range responses {
			responses[i] = errDropped
		}
		return responses
	}
	f.entries = f.entries[:0]
	lastCommandTerm := uint64(0)
	for _, l := range logs {
		f.entries = append(f.entries, storage.Entry{
			Index: l.Index, Term: l.Term, Config: l.Type == raft.LogConfiguration, Data: l.Data,
		})
		if l.Type == raft.LogCommand {
			lastCommandTerm = l.Term
		}
	}
	if f.observe != nil {
		f.observe(f.entries)
	}
	outcomes := f.shard.Apply(f.entries)
	f.stir()
	clear(f.entries) // let go of the data
	responses := make([]any, len(logs))
	failed := len(outcomes) != len(logs)
	for i := range outcomes {
		if outcomes[i] != nil {
			responses[i] = outcomes[i]
			failed = failed || !errors.Is(outcomes[i], storage.ErrBadCommand)
		}
	}
	if lastCommandTerm > 0 && !failed {
		f.reached(lastCommandTerm)
	}
	return responses
}

// writtenByClient tells entries of clients from those of the group's own.
func writtenByClient(l *raft.Log) bool {
	if l.Type == raft.LogCommand {
		for c, err := range storage.DecodeCommands(l.Data) {
			return err == nil && (c.Kind == storage.KindPut || c.Kind == storage.KindDelete)
		}
	}
	return false
}

// Apply implements raft.FSM; Raft calls ApplyBatch instead.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// Snapshot implements raft.FSM: by reference, so instant.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) { return snapshot.State{Shard: f.shard}, nil }

// Restore implements raft.FSM: it must never be called.
func (f *fsm) Restore(source io.ReadCloser) error {
	_ = source.Close()
	return errRestore
}

func (f *fsm) reached(term uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.commandTerm != term {
		f.commandTerm = term
		close(f.changed)
		f.changed = make(chan struct{})
	}
}

// appliedTerm is the term of the last applied command, with a channel that is
// closed when it changes.
func (f *fsm) appliedTerm() (uint64, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.commandTerm, f.changed
}

// awaitTerm waits until a command of the term that current gives was applied.
func (f *fsm) awaitTerm(ctx context.Context, current func() uint64) error {
	for {
		term, changed := f.appliedTerm()
		if term == current() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
