package raftgroup

import (
	"context"
	"errors"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
)

// maxTermRuns bounds the runs of a report. Of a log with more the oldest are
// left out: what is not told is not known, which costs a dearer verdict at worst.
const maxTermRuns = 256

// TermRun says that the entries from First on are of Term, up to the next run's
// First.
type TermRun struct{ First, Term uint64 }

// Report is what a replica says of itself before a verdict. It is the replica's
// own word, and not one moment.
type Report struct {
	Group   uint32
	Server  membership.ServerID
	Lineage string // of the data, where there is data that can be read; "": none is known
	Running bool   // a Raft instance runs (a held one too)
	Member  bool   // the latest configuration that it knows names it
	Voter   bool   // and gives it a vote
	Held    string // the owner of its hold; "": it is not held
	Damage  string // the data failed its own checks as a whole; "": it did not
	HasData bool   // a shard's file with applied > 0
	// Applied is what the shard's file holds.
	Applied storage.Position
	// CurrentTerm is that of the vote record.
	CurrentTerm uint64
	// First and Last are those of the log, First = Last+1 when it is empty, both
	// 0 when nothing is known. A log with a hole or an unreadable entry above
	// Applied ends at Applied.
	First, Last uint64
	// Terms are the terms of Terms[0].First..Last, oldest first.
	Terms []TermRun
	Bytes int64 // of the shard's file, in disk blocks x 512
	Why   string
}

// LeaderReport is what a leader says of its log before a verdict.
type LeaderReport struct {
	Group   uint32
	Server  membership.ServerID
	Lineage string
	Term    uint64
	// Committed: its FSM has applied a command of its own term.
	Committed bool
	// CanCommit: a quorum of the voters, without the asker, answers and takes
	// entries from this log.
	CanCommit   bool
	First, Last uint64 // of its log; First = Last+1 when it is empty
	Terms       []TermRun
	Applied     storage.Position
	// Durable is what the shard's file holds, and what List gives unless a record
	// is held.
	Durable storage.Durable
	// Held is the record that is held for a job; Index 0: none is.
	Held   storage.Position
	Points uint64
	Bytes  int64
	Voters []membership.ServerID
	// Configuration is the index of the latest applied configuration.
	Configuration uint64
}

// Report says how this replica stands; also where it does not run.
func (g *Group) Report() (Report, error) { return Report{}, errors.New("not yet") }

// ReportAtOpen is the report as it was when this process first opened the
// group, before Raft ran: the gap at node start. False while it was never opened.
func (g *Group) ReportAtOpen() (Report, bool) { return Report{}, false }

// LeaderReport is ErrNotLeader on a follower. The asker is the target of the
// verdict: whether a cut can commit is told without its vote; zero: with all.
func (g *Group) LeaderReport(ctx context.Context, asker membership.ServerID) (LeaderReport, error) {
	return LeaderReport{}, errors.New("not yet")
}
