package raftgroup

import (
	"fmt"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/hashicorp/raft"
)

// Role is what a replica is in its group.
type Role uint8

// The roles. A learner has no vote.
const (
	RoleFollower Role = iota
	RoleLeader
	RoleLearner
)

// String gives the word that the API uses.
func (r Role) String() string {
	switch r {
	case RoleLeader:
		return "leader"
	case RoleLearner:
		return "learner"
	}
	return "follower"
}

// Status is what this node says of its replica.
type Status struct {
	Group   uint32
	Self    membership.ServerID
	Lineage string
	Running bool
	Role    Role
	State   ReplicaState
	Why     string // "": nothing is wrong

	Leader       membership.ServerID // zero: none is known
	Term         uint64
	CommitIndex  uint64
	AppliedIndex uint64
	DurableIndex uint64 // what the shard's file holds
	LogFirst     uint64 // LogLast+1 while the log is empty
	LogLast      uint64
	LogBytes     int64
	Lag          uint64 // entries that are committed, as far as known here, and not applied
	Bytes        int64  // of the shard's file, in disk blocks x 512
	Points       uint64
	Root         string // "" while no cut was hashed here
	RootIndex    uint64
	// LastContact is the time since a leader was heard; 0 on the leader,
	// negative if none ever was.
	LastContact time.Duration
	Queued      int // writes that wait at the propose point
	Fences      FenceStats
	Members     []Member
	Gaps        []Gap // of a leader: peers that its log no longer reaches
}

// Status gives the replica's figures; cheap, and not one moment.
func (g *Group) Status() Status {
	s := Status{Group: g.id, LastContact: -1}
	s.State, s.Why = g.condition()
	g.mu.RLock()
	s.Self, s.Lineage = g.self, g.lineage
	if g.rootAt.Index > 0 {
		s.Root, s.RootIndex = g.root.String(), g.rootAt.Index
	}
	g.mu.RUnlock()
	if in, err := g.running(); err == nil {
		in.status(&s)
	}
	return s
}

func (in *instance) status(s *Status) {
	s.Running = true
	c := in.configuration()
	s.Members = members(c)
	suffrage, ok := suffrageOf(c, in.self)
	state := in.raft.State()
	switch {
	case state == raft.Leader:
		s.Role = RoleLeader
	case !ok || suffrage != raft.Voter:
		s.Role = RoleLearner
	}
	s.Leader, _ = in.leader()
	s.Term, s.CommitIndex = in.raft.CurrentTerm(), in.raft.CommitIndex()
	s.LogFirst, _ = in.entries.FirstIndex()
	s.LogLast, _ = in.entries.LastIndex()
	if last := in.raft.LastIndex(); s.LogFirst == 0 && last > 0 {
		s.LogFirst, s.LogLast = last+1, last // all of it is trimmed: what comes next is known all the same
	}
	s.LogBytes = in.entries.Bytes()
	stats := in.shard.Stats()
	s.AppliedIndex, s.DurableIndex = stats.Applied.Index, stats.Durable.Index
	s.Bytes, s.Points = stats.Bytes, stats.Points
	// Raft's own no-ops never reach the shard: what Raft has handed over counts.
	if handed := in.raft.AppliedIndex(); s.CommitIndex > handed {
		s.Lag = s.CommitIndex - handed
	}
	switch contact := in.raft.LastContact(); {
	case s.Role == RoleLeader:
		s.LastContact = 0
	case !contact.IsZero():
		s.LastContact = time.Since(contact)
	}
	s.Queued = in.proposer.queued()
	s.Fences = in.proposer.fenceStats()
	if s.Role == RoleLeader {
		s.Gaps = in.gaps.standing()
	}
	if s.State == ReplicaSyncing && s.Leader.IsZero() && wasAlone(c, in.self) {
		lost := strings.TrimSuffix(s.Why, whyUnadded)
		s.Why = strings.TrimPrefix(lost+"; "+whyAlone, "; ")
	}
	if s.Why == "" && s.Leader.IsZero() {
		s.Why = "no leader heard " + describeContact(s.LastContact)
	}
}

// whyAlone is said of a replica that was the only one, and has lost what it promised
// as that: there is no leader that could add it under its new id.
const whyAlone = "it lost log or votes as the group's only voter: nobody can add it again " +
	"(hint: with the node down, put its whole data directory back from a backup; --consistency stale reads what is left)"

// wasAlone reports whether a configuration has one voter only: the same node under an
// earlier id.
func wasAlone(c raft.Configuration, self membership.ServerID) bool {
	voters := votersOf(c)
	return len(voters) == 1 && voters[0].NodeID == self.NodeID && voters[0].Generation < self.Generation
}

func describeContact(d time.Duration) string {
	if d < 0 {
		return "since the start"
	}
	return "for " + d.Round(time.Second).String()
}

// WhyBehind is the one-line reason for a peer in Gaps.
func (gap Gap) WhyBehind() string {
	return fmt.Sprintf("behind the leader's log since %s: needs a resync up to index %d",
		gap.Since.UTC().Format(time.RFC3339), gap.SnapshotIndex)
}
