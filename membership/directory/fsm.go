package directory

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// fsm applies the log to tables. Raft calls it from one goroutine; readers
// load the table. It outlives instances of raft: what a new one restores and
// replays, and is in the table, is passed by. The table never goes back.
type fsm struct {
	table   atomic.Pointer[Table]
	applied uint64 // the last entry that was handed over; raft's goroutine only
	fatal   func(error)
}

// outcome is what the state machine answers to one command.
type outcome struct {
	index   uint64
	changed bool
	err     error // a *refusal, or nil
}

func newFSM(fatal func(error)) *fsm {
	f := &fsm{fatal: fatal}
	f.table.Store(newTable())
	return f
}

// Apply implements raft.FSM.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch implements raft.BatchingFSM: one new table a batch.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	out := make([]any, len(logs))
	d, publish := newDraft(f.table.Load()), false
	for i, l := range logs {
		if l.Index <= f.applied {
			out[i] = outcome{index: l.Index}
			continue
		}
		f.applied = l.Index
		switch l.Type {
		case raft.LogConfiguration:
			d.table.configIndex, publish = l.Index, true
		case raft.LogCommand:
			o, isNudge := f.applyOne(d, l)
			out[i] = o
			publish = publish || !isNudge
		}
	}
	if publish {
		f.publish(d.finish())
	}
	return out
}

// applyOne applies a command. One that cannot be understood ends the process:
// to skip it would make this node's table differ from the others'.
func (f *fsm) applyOne(d *draft, l *raft.Log) (o outcome, isNudge bool) {
	c, err := Decode(l.Data)
	if err != nil {
		f.fatal(fmt.Errorf("apply entry %d of the meta group: %w", l.Index, err))
		return outcome{index: l.Index, err: refuse(codeInvalid, "%v", err)}, false
	}
	if c.Kind() == KindNudge {
		return outcome{index: l.Index}, true
	}
	d.changed = false
	d.table.Index = l.Index
	if err := c.apply(d); err != nil {
		return outcome{index: l.Index, err: err}, false
	}
	return outcome{index: l.Index, changed: d.changed}, false
}

func (f *fsm) publish(t *Table) {
	old := f.table.Swap(t)
	close(old.changed)
}

// Snapshot implements raft.FSM: tables never change, so it costs nothing.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) { return tableSnapshot{f.table.Load()}, nil }

// Restore implements raft.FSM.
func (f *fsm) Restore(from io.ReadCloser) error {
	b, err := io.ReadAll(io.LimitReader(from, maxSnapshotBytes+1))
	err = errors.Join(err, from.Close())
	if err != nil {
		return fmt.Errorf("read snapshot of the meta group: %w", err)
	}
	t, err := decodeTable(b)
	if err != nil {
		return fmt.Errorf("restore snapshot of the meta group: %w", err)
	}
	if now := f.table.Load(); t.Index < now.Index || t.configIndex < now.configIndex {
		return nil // an older one, from a start
	}
	f.applied = max(f.applied, t.Index, t.configIndex)
	f.publish(t)
	return nil
}

type tableSnapshot struct{ table *Table }

// Persist implements raft.FSMSnapshot.
func (s tableSnapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(encodeTable(s.table)); err != nil {
		return errors.Join(fmt.Errorf("write snapshot of the meta group: %w", err), sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (tableSnapshot) Release() {}
