package raftgroup

import (
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
)

// brokenStore is a StableStore whose disk has failed.
type brokenStore struct{ raft.StableStore }

var errBrokenStore = errors.New("input/output error")

func (brokenStore) SetUint64([]byte, uint64) error { return errBrokenStore }

// A disk that fails under a term ends Raft's loop, not the process: that is
// Fatal's part, which has a line to say first. Before the loop runs, it is an
// error of the start.
func TestTermThatCannotBeWrittenEndsOnlyTheLoop(t *testing.T) {
	s := &failStop{StableStore: brokenStore{raft.NewInmemStore()}}
	entries := raft.NewInmemStore()
	config := raft.DefaultConfig()
	config.LocalID, config.LogOutput = "n1", io.Discard
	_, transport := raft.NewInmemTransport("n1")
	if _, err := s.start(func() (*raft.Raft, error) {
		return raft.NewRaft(config, &raft.MockFSM{}, entries, s, raft.NewInmemSnapshotStore(), transport)
	}); !errors.Is(err, errBrokenStore) {
		t.Errorf("a start whose term cannot be written: %v", err)
	}
	var loop sync.WaitGroup
	returned := false
	loop.Go(func() {
		_ = s.SetUint64([]byte("CurrentTerm"), 3)
		returned = true
	})
	loop.Wait()
	if returned {
		t.Error("raft would panic now")
	}
}
