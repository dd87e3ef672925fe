package raftlog

import (
	"log/slog"

	"github.com/hashicorp/raft"
)

// VoteRecord is what a replica must remember about elections, with the identity under which it voted.
type VoteRecord struct {
	Group        uint32
	Lineage      string
	Generation   uint32
	CurrentTerm  uint64
	LastVoteTerm uint64
	LastVoteCand []byte
}

// VotesOptions configure the vote file.
type VotesOptions struct {
	// Fatal is called once on a disk error or a write that takes longer than AppendDeadline.
	Fatal  func(error)
	Logger *slog.Logger
}

// Votes is the vote file of a node. Safe for concurrent use.
type Votes struct{}

// OpenVotes opens or creates the file. An error that is ErrDamaged means that it is unreadable as a
// whole: in a used directory the node needs a new incarnation.
func OpenVotes(path string, o VotesOptions) (*Votes, error) { panic("todo") }

// Store gives the group's raft.StableStore; what it writes is stamped with lineage and generation.
func (v *Votes) Store(group uint32, lineage string, generation uint32) raft.StableStore {
	panic("todo")
}

// Record returns the group's record; false if there is none; ErrVoteUnreadable if it fails its CRC.
func (v *Votes) Record(group uint32) (VoteRecord, bool, error) { panic("todo") }

// Put writes a whole record: for an install, which raises CurrentTerm, and for a new generation.
func (v *Votes) Put(r VoteRecord) error { panic("todo") }

// Groups lists the groups with a record, readable or not, sorted.
func (v *Votes) Groups() []uint32 { panic("todo") }

// Remove deletes the group's record.
func (v *Votes) Remove(group uint32) error { panic("todo") }

// Close waits for running writes.
func (v *Votes) Close() error { panic("todo") }
