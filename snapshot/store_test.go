package snapshot

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/hashicorp/raft"
)

// fakeShard holds two positions: what is applied and what is durable.
type fakeShard struct {
	durable, applied storage.Durable
	err              error
}

func (s *fakeShard) Durable() storage.Durable { return s.durable }
func (s *fakeShard) Flush(context.Context) (storage.Durable, error) {
	if s.err == nil {
		s.durable = s.applied
	}
	return s.durable, s.err
}

func record(index, term uint64) storage.Durable {
	c := raft.Configuration{Servers: []raft.Server{{Suffrage: raft.Voter, ID: "n1.00000001.0", Address: "n1.00000001.0"}}}
	return storage.Durable{
		Position:      storage.Position{Index: index, Term: term},
		Configuration: raft.EncodeConfiguration(c), ConfigurationIndex: 1,
	}
}

func TestNothingIsListedBeforeTheFirstFlush(t *testing.T) {
	s := NewStore(&fakeShard{applied: record(9, 2)})
	if list, err := s.List(); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

func TestSnapshotIsWhatTheShardFlushed(t *testing.T) {
	shard := &fakeShard{durable: record(5, 2), applied: record(9, 3)}
	s := NewStore(shard)
	target, err := s.Create(1, 9, 3, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := target.Close(); err == nil {
		t.Error("a snapshot at 9 is complete while the file holds 5")
	}
	if err := (State{shard}).Persist(target); err != nil {
		t.Fatal(err)
	}
	if err := target.Close(); err != nil {
		t.Fatal(err)
	}
	list, err := s.List()
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	m := list[0]
	if m.Index != 9 || m.Term != 3 || m.ConfigurationIndex != 1 || len(m.Configuration.Servers) != 1 || m.Version != 1 {
		t.Errorf("listed %+v", m)
	}
	_, body, err := s.Open(m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(body); int64(len(b)) != m.Size {
		t.Errorf("%d bytes, the record says %d", len(b), m.Size)
	}
	if _, _, err := s.Open("shard-1-1"); !errors.Is(err, ErrNotFound) {
		t.Errorf("another record opens: %v", err)
	}
}

func TestFailedFlushMakesNoSnapshot(t *testing.T) {
	shard := &fakeShard{durable: record(5, 2), applied: record(9, 3), err: storage.ErrDamaged}
	target, _ := NewStore(shard).Create(1, 9, 3, raft.Configuration{}, 1, nil)
	if err := (State{shard}).Persist(target); !errors.Is(err, storage.ErrDamaged) {
		t.Errorf("persist: %v", err)
	}
	if target.Close() == nil {
		t.Error("the snapshot is complete")
	}
}

func TestNobodyPutsDataIntoASnapshot(t *testing.T) {
	target, _ := NewStore(&fakeShard{durable: record(5, 2)}).Create(1, 5, 2, raft.Configuration{}, 1, nil)
	if _, err := target.Write([]byte("state")); !errors.Is(err, ErrCarriesData) {
		t.Errorf("write: %v", err)
	}
	if err := target.Close(); err == nil {
		t.Error("a snapshot that was not persisted is complete")
	}
}

func TestHeldCutIsListedUntilItIsReleased(t *testing.T) {
	shard := &fakeShard{durable: record(5, 2), applied: record(9, 3)}
	s := NewStore(shard)
	release, err := s.Hold(record(5, 2))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Hold(record(7, 2)); !errors.Is(err, ErrHeld) {
		t.Errorf("second hold: %v", err)
	}
	_, _ = shard.Flush(context.Background())
	if list, _ := s.List(); list[0].Index != 5 {
		t.Errorf("listed %d while 5 is held", list[0].Index)
	}
	release()
	release()
	if list, _ := s.List(); list[0].Index != 9 {
		t.Errorf("listed %d after the release", list[0].Index)
	}
	if _, err := s.Hold(storage.Durable{Position: storage.Position{Index: 1}, Configuration: []byte("junk")}); err == nil {
		t.Error("a record without a readable configuration is held")
	}
}
