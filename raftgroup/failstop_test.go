package raftgroup

import (
	"errors"
	"sync"
	"testing"

	"github.com/hashicorp/raft"
)

// brokenStore is a StableStore whose disk has failed.
type brokenStore struct{ raft.StableStore }

func (brokenStore) SetUint64([]byte, uint64) error { return errors.New("input/output error") }

// A disk that fails under a term ends Raft's loop, not the process: that is
// Fatal's part, which has a line to say first. Before the loop runs, it is an
// error of the start.
func TestTermThatCannotBeWrittenEndsOnlyTheLoop(t *testing.T) {
	s := &failStop{StableStore: brokenStore{}}
	if err := s.SetUint64([]byte("CurrentTerm"), 2); err == nil {
		t.Error("the start does not learn of it")
	}
	s.runs.Store(true)
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
