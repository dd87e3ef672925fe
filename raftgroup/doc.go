// Package raftgroup runs the data groups of one node.
//
// A Group is one hashicorp/raft node of one shard: its log, its vote record,
// its by-reference snapshot store, its FSM and the single point at which
// writes are proposed. A Host owns all groups of the node and what they share:
// opening (which decides under which identity a group may start), the checks
// of terms behind linearizable reads, and the trimming of the log.
//
// A replica that is to be replaced by a copy is held: its instance votes and
// takes entries, and its shard stands still (Hold). An install switches it to a
// proven copy, with log and vote record (install.go). A leader reports its log,
// holds the record of the copy for Raft, and asks a peer whether it was installed
// where Raft would send a snapshot (gap.go).
//
// Who may change what: only the FSM applies to the shard, only an install
// replaces it; only the proposer hands commands to Raft; only Trim and the Host's
// trimmer drop log entries of a running instance; only opening and an install
// touch vote records, and only the changes of change.go touch a Raft
// configuration. A fence is the one thing that makes the proposer wait.
//
// What it does not do: it knows nothing of connections (a TransportFactory and
// a Caller are handed in), it does not decide who should hold a group
// (membership) or what a replica needs (walgap), it moves no data between
// replicas, and it never sends or takes a Raft snapshot.
package raftgroup
