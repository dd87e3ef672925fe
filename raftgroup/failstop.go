package raftgroup

import (
	"runtime"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// failStop is a StableStore that ends Raft's main loop where a term cannot be
// written. Raft would panic, and its stack would be the node's last words in
// place of what failed: the store has told that to Fatal, and the process ends.
// A vote that cannot be written is refused by Raft itself.
type failStop struct {
	raft.StableStore
	begun atomic.Bool // whether the constructor has written its term, once: what follows is the loop's
}

// unwritten is what a start that cannot write its term panics with: Raft would
// do so too, with a text.
type unwritten struct{ error }

// SetUint64 implements raft.StableStore.
func (s *failStop) SetUint64(key []byte, value uint64) error {
	inLoop := s.begun.Swap(true)
	err := s.StableStore.SetUint64(key, value)
	switch {
	case err == nil:
		return nil
	case inLoop:
		runtime.Goexit()
	}
	panic(unwritten{err})
}

// start runs Raft's constructor, which writes the term once more before any
// goroutine of its own runs, and gives what could not be written as an error.
func (s *failStop) start(construct func() (*raft.Raft, error)) (node *raft.Raft, err error) {
	defer func() {
		switch failure := recover().(type) {
		case nil:
		case unwritten:
			node, err = nil, failure.error
		default:
			panic(failure)
		}
	}()
	return construct()
}
