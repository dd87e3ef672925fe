package raftgroup

import (
	"errors"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/hashicorp/raft"
)

// recordedLog is a group's log as Raft sees it: the entry of the snapshot record
// has a term also where it was dropped from the log. A follower whose log begins
// behind the record and ends with a tail that is not the leader's is asked for
// that term; Raft looks for it in the log alone, and could never replace the tail.
type recordedLog struct {
	raftlog.Log
	record func() storage.Position
}

// GetLog implements raft.LogStore. What stands for the recorded entry has no
// data, and is never sent: the log begins at the latest behind the record that
// Raft has, so an entry that is not in it is at or below that, and a leader sends
// it only behind the entry before it, whose term neither log nor record gives.
// Entry 1 has none before it, so nothing stands for it.
func (l recordedLog) GetLog(index uint64, out *raft.Log) error {
	err := l.Log.GetLog(index, out)
	if index <= 1 || !errors.Is(err, raft.ErrLogNotFound) {
		return err
	}
	if r := l.record(); r.Index == index {
		*out = raft.Log{Index: index, Term: r.Term, Type: raft.LogNoop}
		return nil
	}
	return err
}
