package storage

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Position is an index of the group's log and the term of the entry there.
type Position struct{ Index, Term uint64 }

// Durable is what the file holds: the record that raft's snapshot store lists.
type Durable struct {
	Position
	Configuration      []byte // as the entry carried it; nil before the first
	ConfigurationIndex uint64
}

// Shard is the state machine of one replica and its file. See the package comment for who calls what.
type Shard struct {
	o        Options
	windowNs int64
	file     *file
	budget   *Budget
	log      *slog.Logger
	bad      distrust

	// mu guards what follows, down to the blank line. A reader that begins a file transaction and copies from heads
	// under one hold of it sees each point at least once: a head leaves frozen only after the commit that contains it.
	mu      sync.RWMutex
	state   state // applied in memory; its leases are in the table below
	leases  leaseTable
	active  *head
	frozen  []*head  // oldest first, at most MaxFrozen
	durable state    // in the file
	totals  totals   // in the file
	cuts    []string // of the entry that is being applied
	pins    map[string]*pin
	looks   map[*pin]bool // views that belong to no cut
	gone    []string      // cuts that are not pinned and never will be, the last maxGone
	known   digests
	renew   map[digest.Leaf]bool // digests that cannot be read: the flusher removes them
	doubted bool                 // the flusher looks which series of the index have no parts
	err     error                // why nothing works any more: ErrClosed, ErrDamaged or ErrStorage
	closing bool                 // the flusher flushes everything and ends
	wanted  bool                 // someone waits for a flush
	changed chan struct{}        // closed, and replaced, when a waiter should look again
	flushes uint64

	memory    atomic.Int64 // of the heads, as the budget knows it
	relieving atomic.Bool  // the budget wants a flush

	// Apply's own.
	rows  putReader
	named []*headSeries // series of the put that is being applied, by number

	// The flusher's own.
	loose     map[digest.Leaf]bool // leaves that may have parts to merge
	newest    int64                // newest window written since open
	compactAt time.Time            // when to look whether the file is worth compacting; zero: after the next commit
	settling  bool                 // the index is being looked at, settled is where to go on
	settled   []byte

	wakeup chan struct{} // room for one
	stop   chan struct{} // closed when the flusher must not wait any more
	done   chan struct{} // closed when the flusher has ended
	once   sync.Once
	closed error
}

// Applied is the last entry in memory.
func (s *Shard) Applied() Position {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.applied
}

// Durable is the last flushed state.
func (s *Shard) Durable() Durable {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.durable.record()
}

func (s *state) record() Durable {
	return Durable{Position: s.applied, Configuration: s.configuration, ConfigurationIndex: s.configurationIndex}
}

// Configuration is the last applied configuration entry and its index; index 0 when there was none.
func (s *Shard) Configuration() ([]byte, uint64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.configuration, s.state.configurationIndex
}

// FormatVersion is the block format version in force.
func (s *Shard) FormatVersion() uint8 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.blockFormat
}

// Err is why the shard does not work any more; nil while it does.
func (s *Shard) Err() error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.err
}

// Flush brings everything applied before the call to disk.
func (s *Shard) Flush(ctx context.Context) (Durable, error) {
	s.mu.Lock()
	target := s.state.applied.Index
	for s.durable.applied.Index < target {
		if s.err != nil {
			defer s.mu.Unlock()
			return Durable{}, s.err
		}
		s.wanted = true
		changed := s.changed
		s.mu.Unlock()
		s.poke()
		select {
		case <-changed:
		case <-ctx.Done():
			return Durable{}, ctx.Err()
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	return s.durable.record(), s.err
}

// Unflushed is about how many bytes of memory hold what the file does not: 0 when there is nothing but an applied index.
func (s *Shard) Unflushed() (bytes int64) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, h := range s.frozen {
		bytes += h.bytes
	}
	return bytes + s.active.bytes
}

// poke wakes the flusher.
func (s *Shard) poke() {
	select {
	case s.wakeup <- struct{}{}:
	default:
	}
}

// broadcast wakes everyone who waits for changed. The caller holds the lock.
func (s *Shard) broadcast() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// fail makes an error final: views end and the heads go, since nobody may read or write any more.
func (s *Shard) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	for id := range s.pins {
		s.unpin(id)
	}
	for p := range s.looks {
		s.endLook(p)
	}
	s.active, s.frozen = newHead(), nil
	if bytes := s.memory.Swap(0); bytes != 0 {
		s.budget.add(-bytes)
	}
	s.broadcast()
}

// Close flushes, ends views and closes the file, after the running Scans. Idempotent.
func (s *Shard) Close() error {
	s.once.Do(func() {
		s.mu.Lock()
		s.closing = true
		s.mu.Unlock()
		close(s.stop)
		s.poke()
		<-s.done
		s.mu.Lock()
		if !errors.Is(s.err, ErrClosed) { // that is Abandon, which is no failure
			s.closed = s.err
		}
		s.mu.Unlock()
		s.fail(ErrClosed)
		if err := s.file.close(); s.closed == nil {
			s.closed = err
		}
		s.file.unbear()
		s.budget.unregister(s)
	})
	return s.closed
}

// Abandon closes the file without the last flush, as the end of the process would: what was not flushed is only in the
// log. Idempotent, and after Close it does nothing.
func (s *Shard) Abandon() error {
	s.mu.Lock()
	if s.err == nil {
		s.err = ErrClosed // the flusher ends before the next head; it may be in the middle of one
	}
	s.mu.Unlock()
	return s.Close()
}
