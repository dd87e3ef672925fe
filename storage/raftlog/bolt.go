package raftlog

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxBoltGroups bounds the search for groups that have a file.
const maxBoltGroups = 4096

// BoltOptions configure the boltdb engine.
type BoltOptions struct {
	// Groups lists the groups that have a file. Nil: the paths of ids below 4096 are looked at.
	Groups func() ([]uint32, error)
	// AppendDeadline is the longest a write may take before the engine stops: AppendDeadline by default.
	AppendDeadline time.Duration
	// Fatal is called once, on a disk error or a missed deadline; the process must then exit.
	Fatal     func(error)
	OnCorrupt func(*CorruptError) // as in SharedOptions
	Logger    *slog.Logger
}

// Bolt is the engine with one raft-boltdb file a group.
type Bolt struct {
	path func(group uint32) string
	o    BoltOptions

	failing   sync.Once
	unapplied atomic.Int64 // bytes of entries in memory

	mu     sync.Mutex // guards what follows
	known  map[uint32]bool
	open   map[uint32]*boltLog
	stuck  map[uint32]error // files that bbolt has panicked over: it may hold their locks, so they are not opened again
	closed bool
	err    error // why nothing can be written any more
}

// OpenBolt makes the engine; path gives the file of a group, whose directory is created when needed.
func OpenBolt(path func(group uint32) string, o BoltOptions) (*Bolt, error) {
	if o.AppendDeadline <= 0 {
		o.AppendDeadline = AppendDeadline
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	b := &Bolt{path: path, o: o, known: make(map[uint32]bool), open: make(map[uint32]*boltLog), stuck: make(map[uint32]error)}
	if o.Groups == nil {
		for group := range uint32(maxBoltGroups) {
			if _, err := os.Stat(path(group)); err == nil {
				b.known[group] = true
			}
		}
		return b, nil
	}
	groups, err := o.Groups()
	if err != nil {
		return nil, fmt.Errorf("list logs: %w", err)
	}
	for _, group := range groups {
		b.known[group] = true
	}
	return b, nil
}

// Name is "boltdb".
func (b *Bolt) Name() string { return "boltdb" }

// Open opens or creates the group's file and reads and checks every entry of it.
func (b *Bolt) Open(group uint32) (Log, error) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, ErrClosed
	}
	if _, open := b.open[group]; open {
		b.mu.Unlock()
		return nil, fmt.Errorf("open log of group %d: %w", group, ErrOpen)
	}
	b.open[group] = nil // reserved
	b.mu.Unlock()

	l, err := b.openFile(group)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil || b.closed {
		delete(b.open, group)
		if err == nil {
			err = errors.Join(ErrClosed, l.shut())
		}
		return nil, fmt.Errorf("open log of group %d: %w", group, err)
	}
	b.known[group], b.open[group] = true, l
	return l, nil
}

// openFile opens the group's file, or makes it. One that is damaged as a whole opens as a lost log.
func (b *Bolt) openFile(group uint32) (*boltLog, error) {
	path := b.path(group)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	l := newBoltLog(b, group)
	b.mu.Lock()
	stuck := b.stuck[group]
	b.mu.Unlock()
	if stuck != nil {
		return l.lose(stuck), nil
	}
	err := examineLog(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = makeLog(path, nil)
	}
	switch {
	case errors.Is(err, ErrDamaged):
		return l.lose(err), nil
	case err != nil:
		return nil, err
	}
	panicked := true
	err = guard("log file", func() (err error) {
		if l.store, err = newBoltStore(path); err == nil {
			err = l.load()
		}
		panicked = false
		return err
	})
	switch {
	case err == nil:
		return l, nil
	case panicked: // its locks may be held
		b.mu.Lock()
		b.stuck[group] = err
		b.mu.Unlock()
	case l.store != nil:
		err = errors.Join(err, l.store.Close())
	}
	if isStructural(err) || errors.Is(err, ErrDamaged) {
		return l.lose(err), nil
	}
	return nil, err
}

// Groups lists the groups that have a file.
func (b *Bolt) Groups() []uint32 {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := make([]uint32, 0, len(b.known))
	for id := range b.known {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Bytes is what the entries of the open logs take.
func (b *Bolt) Bytes() int64 {
	var n int64
	for _, l := range b.logs() {
		n += l.Bytes()
	}
	return n
}

func (b *Bolt) logs() []*boltLog {
	b.mu.Lock()
	defer b.mu.Unlock()
	logs := make([]*boltLog, 0, len(b.open))
	for _, l := range b.open {
		if l != nil {
			logs = append(logs, l)
		}
	}
	return logs
}

// Close closes every log.
func (b *Bolt) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	var errs []error
	for _, l := range b.logs() {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// failed is why nothing can be written any more.
func (b *Bolt) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// fail stops all writing for good.
func (b *Bolt) fail(cause error) {
	b.failing.Do(func() {
		err := fmt.Errorf("%w: %w", ErrFailed, cause)
		b.mu.Lock()
		b.err = err
		b.mu.Unlock()
		b.o.Logger.Error("log has failed", "error", cause)
		if b.o.Fatal != nil {
			b.o.Fatal(err)
		}
	})
}

var _ Engine = (*Bolt)(nil)
