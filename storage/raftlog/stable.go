package raftlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
)

// The keys that raft 1.7 keeps in its StableStore.
const (
	keyCurrentTerm  = "CurrentTerm"
	keyLastVoteTerm = "LastVoteTerm"
	keyLastVoteCand = "LastVoteCand"
)

// errNotFound has the text by which raft recognises a key that was never set.
var errNotFound = errors.New("not found")

// stable is the raft.StableStore of one group.
//
// raft writes LastVoteTerm and then LastVoteCand. A crash between the two would leave the new term with the
// old candidate, who would then be granted a vote without a look at its log (upstream issue 661). So the
// term is held back, in memory, until the candidate comes; both are written as one record.
type stable struct {
	v          *Votes
	group      uint32
	lineage    string
	generation uint32

	mu       sync.Mutex // guards heldTerm
	heldTerm uint64     // LastVoteTerm whose candidate has not come yet; 0: none
}

// Store gives the group's raft.StableStore; what it writes is stamped with lineage and generation. Terms and
// votes of an earlier record stay as they are: terms never go backwards.
func (v *Votes) Store(group uint32, lineage string, generation uint32) raft.StableStore {
	return &stable{v: v, group: group, lineage: lineage, generation: generation}
}

func (s *stable) write(edit func(*VoteRecord)) error {
	if _, _, err := s.v.Record(s.group); err != nil {
		return err // only Put may replace an unreadable record
	}
	return s.v.change(s.group, func(r *VoteRecord) {
		r.Group, r.Lineage, r.Generation = s.group, s.lineage, s.generation
		edit(r)
	})
}

func (s *stable) read() (VoteRecord, error) {
	r, ok, err := s.v.Record(s.group)
	if err == nil && !ok {
		err = errNotFound
	}
	return r, err
}

func (s *stable) SetUint64(key []byte, val uint64) error {
	switch string(key) {
	case keyCurrentTerm:
		return s.write(func(r *VoteRecord) { r.CurrentTerm = max(r.CurrentTerm, val) })
	case keyLastVoteTerm:
		s.mu.Lock()
		s.heldTerm = val
		s.mu.Unlock()
		return nil
	case keyLastVoteCand:
		return s.Set(key, binary.BigEndian.AppendUint64(nil, val))
	}
	return fmt.Errorf("vote of group %d has no %q", s.group, key)
}

func (s *stable) Set(key, val []byte) error {
	switch string(key) {
	case keyLastVoteCand:
		s.mu.Lock()
		term := s.heldTerm
		s.heldTerm = 0
		s.mu.Unlock()
		cand := slices.Clone(val)
		return s.write(func(r *VoteRecord) {
			if term > 0 {
				r.LastVoteTerm = term
			}
			r.LastVoteCand = cand
		})
	case keyCurrentTerm, keyLastVoteTerm:
		if len(val) == 8 {
			return s.SetUint64(key, binary.BigEndian.Uint64(val))
		}
	}
	return fmt.Errorf("vote of group %d has no %q of %d bytes", s.group, key, len(val))
}

func (s *stable) GetUint64(key []byte) (uint64, error) {
	r, err := s.read()
	if err != nil {
		return 0, err
	}
	switch string(key) {
	case keyCurrentTerm:
		return r.CurrentTerm, nil
	case keyLastVoteTerm:
		if r.LastVoteTerm > 0 {
			return r.LastVoteTerm, nil
		}
	}
	return 0, errNotFound
}

func (s *stable) Get(key []byte) ([]byte, error) {
	r, err := s.read()
	if err != nil {
		return nil, err
	}
	switch string(key) {
	case keyLastVoteCand:
		if len(r.LastVoteCand) > 0 {
			return r.LastVoteCand, nil
		}
	case keyCurrentTerm:
		return binary.BigEndian.AppendUint64(nil, r.CurrentTerm), nil
	case keyLastVoteTerm:
		if r.LastVoteTerm > 0 {
			return binary.BigEndian.AppendUint64(nil, r.LastVoteTerm), nil
		}
	}
	return nil, errNotFound
}
