package raftgroup

import (
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
)

var errBrokenStore = errors.New("input/output error")

// brokenStore is a StableStore whose disk fails after so many writes.
type brokenStore struct {
	raft.StableStore
	intact int
}

func (s *brokenStore) SetUint64(key []byte, value uint64) error {
	if s.intact == 0 {
		return errBrokenStore
	}
	s.intact--
	return s.StableStore.SetUint64(key, value)
}

// A disk that fails under a term ends Raft's loop, not the process: that is
// Fatal's part, which has a line to say first. Before the loop runs, it is an
// error of the start; the constructor panics no more.
func TestTermThatCannotBeWrittenEndsOnlyTheLoop(t *testing.T) {
	disk := &brokenStore{StableStore: raft.NewInmemStore()}
	if _, err := newFailStop(disk); !errors.Is(err, errBrokenStore) {
		t.Errorf("a start whose term cannot be written: %v", err)
	}
	disk.intact = 1
	s, err := newFailStop(disk)
	if err != nil {
		t.Fatal(err)
	}
	config := raft.DefaultConfig()
	config.LocalID, config.LogOutput = "n1", io.Discard
	_, transport := raft.NewInmemTransport("n1")
	node, err := raft.NewRaft(config, &raft.MockFSM{}, raft.NewInmemStore(), s, raft.NewInmemSnapshotStore(), transport)
	if err != nil {
		t.Fatal(err) // a panic, without the store
	}
	if err := node.Shutdown().Error(); err != nil {
		t.Fatal(err)
	}
	var loop sync.WaitGroup
	returned := false
	loop.Go(func() {
		_ = s.SetUint64(keyCurrentTerm, 3)
		returned = true
	})
	loop.Wait()
	if returned {
		t.Error("raft would panic now")
	}
}
