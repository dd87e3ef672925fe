package raftgroup

import (
	"math"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/hashicorp/raft"
)

// Timers are Raft's. Idle groups cost what the heartbeat and, above all, the
// commit timeout cost; a dead leader is replaced by failover, not by them.
type Timers struct {
	Heartbeat time.Duration
	Election  time.Duration
	Lease     time.Duration
	Commit    time.Duration
}

// DefaultTimers are those of a cluster of 256 groups on small machines.
func DefaultTimers() Timers {
	return Timers{Heartbeat: 5 * time.Second, Election: 5 * time.Second, Lease: 4 * time.Second, Commit: time.Second}
}

const (
	// maxAppendEntries bounds one AppendEntries in entries. Raft allocates room
	// for that many pointers at each step of each entry: 1024 made 70 MB/s of
	// garbage on a busy node. In a pipeline it sends one batch a wake-up; far
	// fewer than these are under way in a group (DefaultInFlight).
	maxAppendEntries = 64
	// protocolVersion of hashicorp/raft: the only one with server ids.
	protocolVersion = 3
)

func (t Timers) raftConfig(self membership.ServerID) *raft.Config {
	c := raft.DefaultConfig()
	c.ProtocolVersion = protocolVersion
	c.LocalID = raft.ServerID(self.String())
	c.HeartbeatTimeout, c.ElectionTimeout = t.Heartbeat, t.Election
	c.LeaderLeaseTimeout, c.CommitTimeout = t.Lease, t.Commit
	c.MaxAppendEntries = maxAppendEntries
	// Unbuffered: a proposal that Raft's main loop has not taken is certainly
	// not in the log, and no future is lost in a buffer when Raft shuts down.
	// It made no measurable difference to the speed.
	c.BatchApplyCh = false
	// A removed replica goes on without a vote, for a leader may add it again,
	// and its data is a copy until someone drops it: nothing here does so yet.
	c.ShutdownOnRemove = false
	// Only Trim snapshots. The log's floor decides how much stays behind one.
	c.SnapshotThreshold = math.MaxUint64
	c.SnapshotInterval = 24 * time.Hour
	c.TrailingLogs = 0
	c.NoSnapshotRestoreOnStart = true // the shard's own applied index rules
	c.NoLegacyTelemetry = true
	return c
}

// raftConfiguration is the first configuration of a group: exactly the voters
// of its birth record, in its order.
func raftConfiguration(voters []membership.ServerID) raft.Configuration {
	var c raft.Configuration
	for _, v := range voters {
		c.Servers = append(c.Servers, raft.Server{
			Suffrage: raft.Voter, ID: raft.ServerID(v.String()), Address: raft.ServerAddress(v.String()),
		})
	}
	return c
}

// suffrageOf finds a server in a configuration.
func suffrageOf(c raft.Configuration, id membership.ServerID) (raft.ServerSuffrage, bool) {
	for _, s := range c.Servers {
		if string(s.ID) == id.String() {
			return s.Suffrage, true
		}
	}
	return raft.Nonvoter, false
}

// votersOf lists the voters of a configuration.
func votersOf(c raft.Configuration) []membership.ServerID {
	voters := make([]membership.ServerID, 0, len(c.Servers))
	for _, s := range c.Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		if id, err := membership.ParseServerID(string(s.ID)); err == nil {
			voters = append(voters, id)
		}
	}
	return voters
}
