// Package raftgroup runs the data groups of one node.
//
// A Group is one hashicorp/raft node of one shard: its log, its vote record,
// its by-reference snapshot store, its FSM and the single point at which
// writes are proposed. A Host owns all groups of the node and what they share:
// opening (which decides under which identity a group may start), the checks
// of terms behind linearizable reads, and the trimming of the log.
//
// Who may change what: only the FSM applies to the shard, only the proposer
// hands commands to Raft, only Trim and the Host's trimmer drop log entries,
// only opening touches vote records, and only the changes of change.go touch a
// Raft configuration. A fence is the one thing that makes the proposer wait.
//
// What it does not do: it knows nothing of connections (a TransportFactory and
// a Caller are handed in), it does not decide who should hold a group
// (membership), it moves no data between replicas, and it never sends or takes
// a Raft snapshot: InstallSnapshot is an alarm that a replica lies behind the
// log.
package raftgroup
