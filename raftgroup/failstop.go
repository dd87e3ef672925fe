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
	runs atomic.Bool // whether Raft's own goroutine writes, not the one that starts it
}

// SetUint64 implements raft.StableStore.
func (s *failStop) SetUint64(key []byte, value uint64) error {
	err := s.StableStore.SetUint64(key, value)
	if err != nil && s.runs.Load() {
		runtime.Goexit()
	}
	return err
}
