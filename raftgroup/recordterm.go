package raftgroup

import (
	"bytes"
	"errors"

	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/hashicorp/raft"
)

// recordedLog is a group's log as Raft sees it: the entry of a snapshot record
// has a term also where it was dropped from the log. A follower whose log begins
// behind the record and ends with a tail that is not the leader's is asked for
// that term; Raft looks for it in the log alone, and could never replace the tail.
// And a leader that holds the record of a cut for a replica sends it the next
// entry with the term of that one.
type recordedLog struct {
	raftlog.Log
	// record gives the term of a record at an index: what the shard's file holds,
	// or what is held for a job.
	record func(index uint64) (term uint64, ok bool)
}

// recordedMark is what tells a recorded entry from one of the log.
var recordedMark = []byte("recorded: the term is all that is known")

// errRecorded: Raft would send an entry whose data is not here any longer.
var errRecorded = errors.New("the log was trimmed between two looks at it")

// GetLog implements raft.LogStore. What stands for the recorded entry has no
// data. The log begins at the latest behind the record that the shard's file
// holds, and a leader reads an entry only behind the one before it, whose term
// neither log nor record gives; but the log may be trimmed in between, so
// guardedTransport has a second look. Entry 1 has none before it: nothing stands for it.
func (l recordedLog) GetLog(index uint64, out *raft.Log) error {
	err := l.Log.GetLog(index, out)
	if index <= 1 || !errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	if term, ok := l.record(index); ok {
		*out = raft.Log{Index: index, Term: term, Type: raft.LogNoop, Extensions: recordedMark}
		return nil
	}
	return err
}

// guardedTransport sends no recorded entry: the peer would keep it in the place
// of one with data.
type guardedTransport struct {
	Transport
	raft.WithPreVote
}

var _ raft.WithPreVote = guardedTransport{}

// AppendEntries implements raft.Transport.
func (t guardedTransport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if recorded(args) {
		return errRecorded
	}
	return t.Transport.AppendEntries(id, target, args, resp)
}

// AppendEntriesPipeline implements raft.Transport.
func (t guardedTransport) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := t.Transport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	return guardedPipeline{p}, nil
}

type guardedPipeline struct{ raft.AppendPipeline }

// AppendEntries implements raft.AppendPipeline.
func (p guardedPipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	if recorded(args) {
		return nil, errRecorded
	}
	return p.AppendPipeline.AppendEntries(args, resp)
}

// recorded reports whether an entry has no data.
func recorded(args *raft.AppendEntriesRequest) bool {
	for _, e := range args.Entries {
		if len(e.Extensions) == len(recordedMark) && bytes.Equal(e.Extensions, recordedMark) {
			return true
		}
	}
	return false
}
