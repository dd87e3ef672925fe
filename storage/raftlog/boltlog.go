package raftlog

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// boltLog is an open log of the boltdb engine.
type boltLog struct {
	engine *Bolt
	group  uint32
	store  *raftboltdb.BoltStore
	bounds
	closed atomic.Bool
	broken atomic.Bool // bbolt has panicked: its locks may be held, so it is not touched again

	writer chan struct{} // held by the writer: see groupLog.writer
	wanted uint64        // the writer's own: compaction was asked up to here
	using  sync.RWMutex  // held by reads; to change store in a log that is read

	unapplied unapplied

	mu          sync.RWMutex // guards the rest; held for memory only
	first, last uint64       // 0, 0: empty
	state       boltState
	bytes       int64
	scanned     bool          // nothing has touched the log since Open has read all of it
	bad         *CorruptError // found by that
	lost        *CorruptError // the file is damaged as a whole: see boltlost.go
}

func newBoltLog(b *Bolt, group uint32) *boltLog {
	l := &boltLog{engine: b, group: group, writer: make(chan struct{}, 1)}
	l.unapplied.total = &b.unapplied
	return l
}

func (l *boltLog) lock() error {
	if err := l.lockLost(); err != nil {
		return err
	}
	if l.broken.Load() {
		l.unlock()
		return ErrDamaged
	}
	return nil
}

// lockLost is lock for who can do with a lost log.
func (l *boltLog) lockLost() error {
	l.writer <- struct{}{}
	err := l.engine.failed()
	if l.closed.Load() {
		err = ErrClosed
	}
	if err != nil {
		l.unlock()
	}
	return err
}

func (l *boltLog) unlock() { <-l.writer }

// load reads the state and every entry, and finishes a Reset that a crash cut short.
func (l *boltLog) load() error {
	var err error
	if l.state, err = readBoltState(l.store); err != nil {
		return err
	}
	if err := l.bound(); err != nil {
		return err
	}
	if l.state.pending {
		if err := l.finishReset(); err != nil {
			return err
		}
	}
	l.scanned = true
	for i := l.first; i != 0 && i <= l.last; i++ {
		var log raft.Log
		err := l.get(i, &log)
		var corrupt *CorruptError
		if errors.As(err, &corrupt) {
			if l.bad == nil {
				l.bad = corrupt
			}
			continue
		}
		if err != nil {
			return err
		}
		l.bytes += entryBytes(&log)
	}
	return nil
}

func entryBytes(log *raft.Log) int64 {
	return int64(len(log.Data)+len(log.Extensions)) + maxRecordOverhead
}

// bound asks the file for first and last.
func (l *boltLog) bound() error {
	first, err := l.store.FirstIndex()
	if err != nil {
		return err
	}
	last, err := l.store.LastIndex()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.last - l.first + 1; l.first != 0 && first != 0 && last-first+1 < n {
		l.bytes = l.bytes / int64(n) * int64(last-first+1)
	} else if first == 0 {
		l.bytes = 0
	}
	l.first, l.last = first, last
	return nil
}

func (l *boltLog) FirstIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.first, l.ready()
}

func (l *boltLog) LastIndex() (uint64, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.last, l.ready()
}

func (l *boltLog) ready() error {
	if l.closed.Load() {
		return ErrClosed
	}
	return nil
}

func (l *boltLog) NextIndex() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.first == 0 {
		return l.state.next
	}
	return l.last + 1
}

func (l *boltLog) GetLog(i uint64, log *raft.Log) error {
	if err := l.ready(); err != nil {
		return err
	}
	err := l.get(i, log)
	if l.tell(err) && l.unapplied.get(i, log) {
		return nil
	}
	return err
}

// tell tells the owner of an entry that cannot be read.
func (l *boltLog) tell(err error) bool {
	var corrupt *CorruptError
	if !errors.As(err, &corrupt) {
		return false
	}
	if l.engine.o.OnCorrupt != nil {
		l.engine.o.OnCorrupt(corrupt)
	}
	return true
}

// get reads and checks an entry of the file.
func (l *boltLog) get(i uint64, log *raft.Log) error {
	if lost := l.isLost(); lost != nil {
		return raft.ErrLogNotFound // it has no entries: Check says why
	}
	if l.broken.Load() {
		return &CorruptError{Group: l.group, Index: i, Reason: ErrDamaged.Error()}
	}
	l.using.RLock()
	err := guard("read log", func() error { return l.store.GetLog(i, log) })
	l.using.RUnlock()
	l.mu.RLock()
	within := l.first != 0 && i >= l.first && i <= l.last
	l.mu.RUnlock()
	switch {
	case err == nil && unsealBolt(i, log):
		return nil
	case err == nil:
		err = errChecksum
	case errors.Is(err, ErrDamaged):
		l.broken.Store(true)
	case errors.Is(err, raft.ErrLogNotFound) && !within:
		return err
	case l.closed.Load():
		return ErrClosed
	}
	return &CorruptError{Group: l.group, Index: i, Where: l.engine.path(l.group), Reason: err.Error()}
}

func (l *boltLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

func (l *boltLog) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	if err := l.lock(); err != nil {
		return err
	}
	defer l.unlock()
	if err := checkAppend(l.group, l.NextIndex(), logs, MaxEntryBytes); err != nil {
		return err
	}
	sealed := make([]*raft.Log, len(logs))
	var bytes int64
	for k, log := range logs {
		sealed[k] = sealBolt(log)
		bytes += entryBytes(log)
	}
	if err := l.write("append", func() error { return l.store.StoreLogs(sealed) }); err != nil {
		return err
	}
	l.unapplied.keep(logs...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == 0 {
		l.first = logs[0].Index
	}
	l.last = logs[len(logs)-1].Index
	l.bytes += bytes
	l.scanned = false
	return nil
}

// write runs a transaction under the deadline. Any error of it is an unknown outcome: the engine stops.
func (l *boltLog) write(what string, f func() error) error {
	watchdog := time.AfterFunc(l.engine.o.AppendDeadline, func() { l.engine.fail(errDeadline) })
	err := guard(what, f)
	watchdog.Stop()
	if err == nil {
		return l.engine.failed() // the deadline was faster: the process is on its way out
	}
	err = fmt.Errorf("%s log of group %d: %w", what, l.group, err)
	if errors.Is(err, ErrDamaged) {
		l.broken.Store(true)
		return err
	}
	l.engine.fail(err)
	return fmt.Errorf("%w: %w", ErrFailed, err)
}

func (l *boltLog) Generation() uint32 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.state.generation
}

// Bytes is an estimate after a deletion: the mean size of what was there.
func (l *boltLog) Bytes() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.bytes
}

func (l *boltLog) Check() error {
	if lost := l.isLost(); lost != nil {
		return lost
	}
	l.mu.Lock()
	scanned, bad := l.scanned, l.bad
	l.scanned = false
	first, last := l.first, l.last
	l.mu.Unlock()
	switch {
	case scanned && bad == nil:
		return nil
	case scanned && bad.Index >= first && bad.Index <= last:
		return bad
	}
	for i := first; i != 0 && i <= last; i++ {
		var log raft.Log
		if err := l.get(i, &log); err != nil && !errors.Is(err, raft.ErrLogNotFound) {
			return err
		}
	}
	return nil
}

// Close closes the file.
func (l *boltLog) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	l.writer <- struct{}{} // a write under way ends first
	defer l.unlock()
	l.unapplied.drop(0, ^uint64(0))
	err := l.shut()
	l.engine.mu.Lock()
	defer l.engine.mu.Unlock()
	delete(l.engine.open, l.group)
	return err
}

func (l *boltLog) shut() error {
	switch {
	case l.isLost() != nil:
		return nil
	case l.broken.Load(): // its locks may be held
		l.engine.mu.Lock()
		defer l.engine.mu.Unlock()
		l.engine.stuck[l.group] = ErrDamaged
		return nil
	}
	return l.store.Close()
}
