package raftgroup

import (
	"errors"
	"fmt"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/hashicorp/raft"
)

// Outcome is what is known of a proposal that did not succeed.
type Outcome uint8

// The outcomes. Only a proposal that was not applied may be repeated by the
// server; repeating an unknown one is its writer's decision.
const (
	OutcomeApplied Outcome = iota
	OutcomeNotApplied
	OutcomeUnknown
	OutcomeInvalid
)

// String gives the word used in logs and errors.
func (o Outcome) String() string {
	switch o {
	case OutcomeApplied:
		return "applied"
	case OutcomeNotApplied:
		return "not applied"
	case OutcomeInvalid:
		return "invalid"
	}
	return "unknown"
}

var (
	// ErrNotApplied is wrapped by every error of a proposal that certainly never
	// reached the log of a quorum and never will: try again.
	ErrNotApplied = errors.New("not applied")
	// ErrUnknown is wrapped by every error of a proposal that may have been, or
	// may still be, applied: only its writer may repeat it.
	ErrUnknown = errors.New("outcome unknown")
	// ErrInvalid is wrapped where repeating cannot help: fix the command.
	ErrInvalid = errors.New("invalid command")
	// ErrBusy: the group's queue is full. Not applied; try again after a pause.
	ErrBusy = fmt.Errorf("group is busy: %w", ErrNotApplied)
	// ErrNoSpace: the node is below its disk reserve. Not applied; other
	// replicas take the leadership over, or the operator makes room.
	ErrNoSpace = fmt.Errorf("below the disk reserve: %w", ErrNotApplied)
	// ErrClosed: the group is closing on this node. Not applied; ask elsewhere.
	ErrClosed = fmt.Errorf("group is closed on this node: %w", ErrNotApplied)
	// ErrFenced: another owner holds the group's fence. Nothing was done; try
	// again after its deadline.
	ErrFenced = fmt.Errorf("group is fenced: %w", ErrNotApplied)
	// ErrFenceExpired: the fence lifted itself before its owner was done, so
	// what was begun under it is given up. Start over.
	ErrFenceExpired = errors.New("fence reached its deadline")
	// ErrNoQuorum: a read could not be confirmed by a majority of the voters
	// before its context ended. Nothing was read; try again.
	ErrNoQuorum = errors.New("no majority of the voters answers")
	// ErrUnknownGroup: this node holds no replica of the group.
	ErrUnknownGroup = errors.New("no replica of the group on this node")
)

// ErrNotLeader says that this replica does not lead. Not applied; ask Leader,
// which is zero where no leader is known.
type ErrNotLeader struct{ Leader membership.ServerID }

// Error implements error.
func (e ErrNotLeader) Error() string {
	if e.Leader.IsZero() {
		return "not the leader, and none is known: not applied"
	}
	return "not the leader: ask " + e.Leader.String() + ": not applied"
}

// Is makes errors.Is(err, ErrNotApplied) hold.
func (e ErrNotLeader) Is(target error) bool { return target == ErrNotApplied }

// OutcomeOf classifies any error of Propose. What it does not know is unknown.
func OutcomeOf(err error) Outcome {
	switch {
	case err == nil:
		return OutcomeApplied
	case errors.Is(err, ErrUnknown): // first: an unknown error may wrap anything
		return OutcomeUnknown
	case errors.Is(err, ErrInvalid):
		return OutcomeInvalid
	case errors.Is(err, ErrNotApplied):
		return OutcomeNotApplied
	}
	return OutcomeUnknown
}

// classify turns the error of a Raft future into one of ours. Only three of
// Raft's errors promise that the entry is not in the log; everything else,
// ErrRaftShutdown and any error of the log included, is unknown.
func classify(err error, leader membership.ServerID) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader):
		return ErrNotLeader{Leader: leader}
	case errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return fmt.Errorf("%w: %w", ErrNotApplied, err)
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}
