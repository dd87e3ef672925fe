package membership

import (
	"fmt"
	"slices"
	"time"
)

// MetaGroup is the id of the meta group, beyond any data group.
const MetaGroup uint32 = 65535

// GroupState is the state of an assignment.
type GroupState uint8

// The states of a group: active, syncing (a replica is being added or made
// equal) and rebalancing (a replica is being moved).
const (
	GroupActive GroupState = iota + 1
	GroupSyncing
	GroupRebalancing
)

var groupStateNames = [...]string{GroupActive: "active", GroupSyncing: "syncing", GroupRebalancing: "rebalancing"}

// String gives the word that the API uses.
func (s GroupState) String() string {
	if s == 0 || int(s) >= len(groupStateNames) {
		return fmt.Sprintf("GroupState(%d)", uint8(s))
	}
	return groupStateNames[s]
}

// Valid reports whether s is one of the states above.
func (s GroupState) Valid() bool { return s >= GroupActive && s <= GroupRebalancing }

// Assignment says who should hold a group. It is what reconcile brings the
// Raft configuration to; who leads is Raft's own decision.
type Assignment struct {
	Group     uint32
	Primary   string   // name of the node that should lead
	Replicas  []string // names of the other holders, sorted; never the primary
	State     GroupState
	Epoch     uint64 // from 1; every change adds 1 and is compare-and-set
	UpdatedAt time.Time
}

// Nodes gives the names of all holders, the primary first.
func (a Assignment) Nodes() []string {
	if a.Primary == "" {
		return slices.Clone(a.Replicas)
	}
	return append([]string{a.Primary}, a.Replicas...)
}

// Holds reports whether the node of that name is a holder.
func (a Assignment) Holds(name string) bool {
	return name != "" && (a.Primary == name || slices.Contains(a.Replicas, name))
}

// Clone gives a copy that shares no memory.
func (a Assignment) Clone() Assignment {
	a.Replicas = slices.Clone(a.Replicas)
	return a
}

// Birth is the immutable record of a group's first configuration. Each listed
// voter bootstraps with exactly these voters; a server that is not listed
// never bootstraps.
type Birth struct {
	Group   uint32
	Lineage string     // UUID of the history that begins here
	Voters  []ServerID // the primary of that moment first; generation 0
	Epoch   uint64     // of the assignment that was committed with it
}

// Voter gives the server id under which the node was born here.
func (b Birth) Voter(id NodeID) (ServerID, bool) {
	for _, v := range b.Voters {
		if v.NodeID == id {
			return v, true
		}
	}
	return ServerID{}, false
}

// Clone gives a copy that shares no memory.
func (b Birth) Clone() Birth {
	b.Voters = slices.Clone(b.Voters)
	return b
}

// Database is one row of the database table.
type Database struct {
	Name      string
	Retention time.Duration // 0: keep for ever
	CreatedAt time.Time     // UTC, stamped by the node that proposed it
	// Collections that were created by name, sorted. Others exist by their
	// points alone: only the shards know them.
	Collections []string
}
