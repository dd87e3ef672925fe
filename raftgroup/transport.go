package raftgroup

import (
	"context"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/hashicorp/raft"
)

// Transport is what a group's Raft instance speaks through. The value must
// also implement raft.WithPreVote, or pre-vote would be off without a word; its
// addresses are server ids.
type Transport interface {
	raft.Transport
	// Deliver puts a request on the transport's own consumer channel and returns
	// when Raft has answered it. It checks nothing: see candidacy.go.
	Deliver(ctx context.Context, request any) error
	// OnGap sets what answers an InstallSnapshot in the peer's place, which is
	// never sent: the peer is one that the log no longer reaches. It may take long,
	// and then ends with the group.
	OnGap(func(peer membership.ServerID, req *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse) error)
	// OnAppend sets what gives Raft the AppendEntries to see in place of one that
	// has arrived, which stays as it is. It is not asked for heartbeats, which have
	// neither entries nor one before them, and must not block.
	OnAppend(func(*raft.AppendEntriesRequest) *raft.AppendEntriesRequest)
	// OnAppended sets who is told of each AppendEntries that is no heartbeat and
	// that Raft has answered with success: the leader's term, its commit index,
	// and a time on this node's clock before which the leader did not read that
	// index off (zero: none is known).
	OnAppended(func(term, leaderCommit uint64, sentAfter time.Time))
	// Close ends all RPCs of the group, in both directions.
	Close() error
}

// TransportFactory gives the transport of one server of one lineage.
type TransportFactory func(group uint32, lineage string, self membership.ServerID) (Transport, error)

// Method tells the calls of this package apart; the node maps them to methods
// of its stream, and hands what arrives to Host.Handle.
type Method uint8

// The methods.
const (
	// MethodTerms asks for the current terms of many groups. Readers wait for
	// it: send it at once.
	MethodTerms Method = iota + 1
	// MethodStanding asks how one replica stands before a planned transfer.
	MethodStanding
	// MethodContains asks whether one replica has an entry for good.
	MethodContains
	// MethodCommitted asks one replica what is committed, if it leads.
	MethodCommitted
)

// Caller asks another node. The error says nothing of whether it was executed:
// all methods only read.
type Caller func(ctx context.Context, to membership.NodeID, method Method, payload []byte) ([]byte, error)
