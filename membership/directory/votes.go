package directory

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
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
//
//	key "Vote": version (1) | term (8, big endian) | candidate | CRC32C (4)
type votes struct {
	inner raft.StableStore
	fatal func(error)

	// runs: Raft's main loop writes, not the goroutine that starts it. Where it
	// cannot write its term it ends: a panic of Raft would hide what fatal says.
	runs atomic.Bool

	mu   sync.Mutex // guards term
	term uint64     // of a vote whose candidate has not come yet
}

var (
	keyVote         = []byte("Vote")
	keyLastVoteTerm = "LastVoteTerm"
	keyLastVoteCand = "LastVoteCand"
)

const voteOverhead = 1 + 8 + 4

// Set implements raft.StableStore.
func (v *votes) Set(key, value []byte) error {
	if string(key) == keyLastVoteCand {
		v.mu.Lock()
		b := append([]byte{formatVersion}, binary.BigEndian.AppendUint64(nil, v.term)...)
		v.mu.Unlock()
		b = append(b, value...)
		key, value = keyVote, binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	}
	return guard(v.fatal, "write a vote of the meta group", func() error { return v.inner.Set(key, value) })
}

// SetUint64 implements raft.StableStore.
func (v *votes) SetUint64(key []byte, value uint64) error {
	if string(key) == keyLastVoteTerm {
		v.mu.Lock()
		v.term = value
		v.mu.Unlock()
		return nil
	}
	err := guard(v.fatal, "write the term of the meta group", func() error { return v.inner.SetUint64(key, value) })
	if err != nil && v.runs.Load() {
		runtime.Goexit()
	}
	return err
}

// Get implements raft.StableStore.
func (v *votes) Get(key []byte) ([]byte, error) {
	if string(key) != keyLastVoteCand {
		return v.inner.Get(key)
	}
	_, candidate, err := v.read()
	return candidate, err
}

// GetUint64 implements raft.StableStore.
func (v *votes) GetUint64(key []byte) (uint64, error) {
	if string(key) != keyLastVoteTerm {
		return v.inner.GetUint64(key)
	}
	term, _, err := v.read()
	return term, err
}

// read gives the error of the inner store, "not found", if there was no vote.
func (v *votes) read() (uint64, []byte, error) {
	b, err := v.inner.Get(keyVote)
	if err != nil {
		return 0, nil, err
	}
	if len(b) < voteOverhead || b[0] != formatVersion ||
		crc32.Checksum(b[:len(b)-4], castagnoli) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return 0, nil, fmt.Errorf("vote record of the meta group is damaged (%d bytes): %w", len(b), ErrStateLost)
	}
	return binary.BigEndian.Uint64(b[1:9]), append([]byte(nil), b[9:len(b)-4]...), nil
}
