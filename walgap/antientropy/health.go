package antientropy

import "time"

// Level is how a cluster is. The numbers are exit codes.
type Level uint8

// The levels.
const (
	OK Level = iota
	Warning
	Critical
	Unknown
)

// GroupHealth is what the tables say of one group.
type GroupHealth struct {
	Group    uint32
	Led      bool
	Proof    time.Time // zero: never, as far as anybody knows
	Scrub    time.Time // the oldest of its replicas; zero: never
	Created  time.Time // zero: not known; ages count from it while there is no proof
	Replicas []ReplicaHealth
}

// ReplicaHealth is one replica, with the state that the API names.
type ReplicaHealth struct {
	Node, State, Why string
	Voter            bool
}

// NodeHealth is one node, with the state that the API names.
type NodeHealth struct{ Name, State string }

// Assessment is the answer of `flotilla check`.
type Assessment struct {
	Level Level
	Lines []HealthLine // the worst first; at least one
}

// HealthLine is one line.
type HealthLine struct {
	Level  Level
	Check  string // leader, replicas, nodes, proof, scrub, disputed, quarantined, suspect
	Text   string
	Groups []uint32
	Nodes  []string
}

// Assess turns ages and states into a verdict. It is pure.
func Assess(now time.Time, s Settings, groups []GroupHealth, nodes []NodeHealth) Assessment {
	return Assessment{Level: Unknown, Lines: []HealthLine{{Level: Unknown, Check: "nodes", Text: "not built yet"}}}
}
