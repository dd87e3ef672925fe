package directory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// votes is a raft.StableStore that writes term and candidate of a vote as one
// record. hashicorp/raft writes LastVoteTerm and LastVoteCand apart: a crash
// between them would leave the new term with the old candidate, who would
// then be given a vote without the check of its log (upstream issue 661). The
// term is held back until the candidate comes.
type votes struct {
	file  *logFile
	fatal func(error)

	// runs: Raft's main loop writes, not the goroutine that starts it. Where it
	// cannot write its term it ends: a panic of Raft would hide what fatal says.
	runs atomic.Bool

	mu   sync.Mutex // guards term
	term uint64     // of a vote whose candidate has not come yet
}

// The keys of hashicorp/raft.
const (
	keyCurrentTerm  = "CurrentTerm"
	keyLastVoteTerm = "LastVoteTerm"
	keyLastVoteCand = "LastVoteCand"
)

// errNotFound has the text by which raft knows a key that was never set.
var errNotFound = errors.New("not found")

// Set implements raft.StableStore.
func (v *votes) Set(key, value []byte) error {
	if string(key) != keyLastVoteCand {
		return fmt.Errorf("the meta group has no %q of bytes", key)
	}
	v.mu.Lock()
	term := v.term
	v.mu.Unlock()
	candidate := append([]byte(nil), value...)
	return guard(v.fatal, "write a vote of the meta group", func() error {
		return v.file.setVote(func(r *vote) { r.votedIn, r.candidate = term, candidate })
	})
}

// SetUint64 implements raft.StableStore.
func (v *votes) SetUint64(key []byte, value uint64) error {
	switch string(key) {
	case keyLastVoteTerm:
		v.mu.Lock()
		v.term = value
		v.mu.Unlock()
		return nil
	case keyCurrentTerm:
	default:
		return fmt.Errorf("the meta group has no %q", key)
	}
	err := guard(v.fatal, "write the term of the meta group", func() error {
		return v.file.setVote(func(r *vote) { r.term = value })
	})
	if err != nil && v.runs.Load() {
		runtime.Goexit()
	}
	return err
}

// Get implements raft.StableStore.
func (v *votes) Get(key []byte) ([]byte, error) {
	r := v.file.lastVote()
	switch {
	case string(key) == keyLastVoteCand && r.votedIn > 0:
		return append([]byte(nil), r.candidate...), nil
	case string(key) == keyCurrentTerm && r.term > 0:
		return binary.BigEndian.AppendUint64(nil, r.term), nil
	}
	return nil, errNotFound
}

// GetUint64 implements raft.StableStore.
func (v *votes) GetUint64(key []byte) (uint64, error) {
	r := v.file.lastVote()
	switch {
	case string(key) == keyLastVoteTerm && r.votedIn > 0:
		return r.votedIn, nil
	case string(key) == keyCurrentTerm && r.term > 0:
		return r.term, nil
	}
	return 0, errNotFound
}

var _ raft.StableStore = (*votes)(nil)
