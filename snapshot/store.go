package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/hashicorp/raft"
)

var (
	// ErrNotFound: the record is not the one that is listed now. List again.
	ErrNotFound = errors.New("snapshot record is not listed")
	// ErrCarriesData: something tried to put data into a snapshot. A replica
	// that is behind the log takes part in a resync instead.
	ErrCarriesData = errors.New("snapshots are by reference and carry no data")
	// ErrHeld: another job holds a cut in this store. Wait for its end.
	ErrHeld = errors.New("another cut is held")
)

// Shard is what a Store refers to.
type Shard interface {
	// Durable is what the file holds.
	Durable() storage.Durable
	// Flush brings everything that is applied into the file.
	Flush(ctx context.Context) (storage.Durable, error)
}

// Store is the raft.SnapshotStore of one group.
type Store struct {
	shard Shard

	mu   sync.Mutex
	held *storage.Durable // guarded by mu; listed in place of the shard's record
}

var _ raft.SnapshotStore = (*Store)(nil)

// NewStore gives the store of a shard.
func NewStore(shard Shard) *Store { return &Store{shard: shard} }

// Hold lists the record of a cut until release is called.
func (s *Store) Hold(cut storage.Durable) (release func(), err error) {
	if _, _, err := meta(cut); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != nil {
		return nil, ErrHeld
	}
	held := &cut
	s.held = held
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.held == held {
			s.held = nil
		}
	}, nil
}

func (s *Store) record() storage.Durable {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != nil {
		return *s.held
	}
	return s.shard.Durable()
}

// List gives the one record, none while nothing was ever flushed.
func (s *Store) List() ([]*raft.SnapshotMeta, error) {
	record := s.record()
	if record.Index == 0 {
		return nil, nil
	}
	m, _, err := meta(record)
	if err != nil {
		return nil, err
	}
	return []*raft.SnapshotMeta{m}, nil
}

// Open gives the record itself, never the shard's data.
func (s *Store) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	record := s.record()
	if record.Index == 0 || recordID(record.Index, record.Term) != id {
		return nil, nil, fmt.Errorf("open snapshot %q: %w", id, ErrNotFound)
	}
	m, body, err := meta(record)
	if err != nil {
		return nil, nil, err
	}
	return m, io.NopCloser(bytes.NewReader(body)), nil
}

// Create begins a snapshot; only State.Persist may finish it.
func (s *Store) Create(_ raft.SnapshotVersion, index, term uint64, _ raft.Configuration, _ uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	return &sink{id: recordID(index, term), index: index}, nil
}

// sink is a snapshot that is being taken.
type sink struct {
	id      string
	index   uint64
	flushed uint64 // applied index of the shard's file, set by Persist
}

func (k *sink) ID() string                { return k.id }
func (k *sink) Write([]byte) (int, error) { return 0, ErrCarriesData }
func (k *sink) Cancel() error             { return nil }

// Close refuses a snapshot whose index the file does not hold: Raft drops log
// entries up to it next.
func (k *sink) Close() error {
	if k.flushed < k.index {
		return fmt.Errorf("snapshot at index %d: the shard holds %d: %w", k.index, k.flushed, ErrCarriesData)
	}
	return nil
}

// State is the raft.FSMSnapshot of a shard.
type State struct{ Shard Shard }

var _ raft.FSMSnapshot = State{}

// Persist flushes the shard.
func (s State) Persist(target raft.SnapshotSink) error {
	k, ok := target.(*sink)
	if !ok {
		return fmt.Errorf("persist into %T: %w", target, ErrCarriesData)
	}
	d, err := s.Shard.Flush(context.Background())
	if err != nil {
		return fmt.Errorf("flush shard for a snapshot: %w", err)
	}
	k.flushed = d.Index
	return k.Close()
}

// Release implements raft.FSMSnapshot.
func (State) Release() {}
