// Package snapshot gives Raft its snapshots by reference.
//
// The shard's own file is the state; a snapshot is nothing but the record of
// what that file holds: {applied index, its term, the configuration and its
// index}. Taking one flushes the shard; nothing is copied, and nothing that is
// read from one restores anything (Raft runs with NoSnapshotRestoreOnStart and
// starts at the shard's applied index).
//
// A Store lists the shard's last flushed record. While a resync job holds a cut
// it lists the record of that cut instead, in memory only: a start lists the
// flushed state.
//
// What it does not do: it carries no data between replicas.
package snapshot
