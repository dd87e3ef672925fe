package raftgroup

import (
	"fmt"
	"runtime"

	"github.com/hashicorp/raft"
)

// failStop is a StableStore that ends Raft's main loop where a term cannot be
// written. Raft would panic, and its stack would be the node's last words in
// place of what failed: the store has told that to Fatal, and the process ends.
// A vote that cannot be written is refused by Raft itself.
type failStop struct {
	raft.StableStore
	// Raft's constructor writes the term that it has read once more, and panics
	// where that fails, on its caller's goroutine. newFailStop has written it:
	// the first write is left out.
	begun bool
}

// keyCurrentTerm is Raft's name of the term (raft.go, keyCurrentTerm).
var keyCurrentTerm = []byte("CurrentTerm")

// newFailStop gives the store to one raft.NewRaft.
func newFailStop(votes raft.StableStore) (*failStop, error) {
	term, err := votes.GetUint64(keyCurrentTerm)
	if err != nil && err.Error() != "not found" {
		return nil, fmt.Errorf("read the term: %w", err)
	}
	if err := votes.SetUint64(keyCurrentTerm, term); err != nil {
		return nil, fmt.Errorf("write the term: %w", err)
	}
	return &failStop{StableStore: votes}, nil
}

// SetUint64 implements raft.StableStore. The constructor calls it first, then
// Raft's own goroutine alone.
func (s *failStop) SetUint64(key []byte, value uint64) error {
	if !s.begun {
		s.begun = true
		return nil
	}
	err := s.StableStore.SetUint64(key, value)
	if err != nil {
		runtime.Goexit()
	}
	return nil
}
