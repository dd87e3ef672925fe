// Package raftlog keeps what Raft must not forget: the logs of all groups of a node, and their votes.
//
// Nouns. An Engine holds the logs of all groups of one node; a Log is the log of one group and
// implements raft.LogStore; Votes is the one file with the vote records of all groups, and gives each
// group a raft.StableStore. Two engines exist: Shared writes the entries of all groups into one
// segmented write-ahead log, in which concurrent appends of different groups share one write and one
// fdatasync; Bolt keeps one raft-boltdb file a group: plain, inspectable, slower.
//
// Who changes what. Raft appends and truncates through raft.LogStore; the owner of a group (package
// raftgroup) sets the floor below which compaction may go, resets a log, and drops a damaged prefix.
// Segments are created, recycled and freed only by the Shared engine's reclaimer.
//
// What is promised. When StoreLogs, DeleteRange, Reset or a write of a vote returns without an error,
// its effect survives a power cut. A log never has a hole: appending anything but the next index is
// refused. Each record carries a CRC, and a record that fails it is reported as a *CorruptError, never
// returned. A disk error, or an append that takes longer than AppendDeadline, is an unknown outcome:
// Options.Fatal is called once, everything after it fails, and the process is expected to exit.
//
// What it does not do: it elects nobody, interprets no entry, decides no retention (it only clamps what
// Raft asks to delete), and never repairs a log by guessing.
package raftlog
