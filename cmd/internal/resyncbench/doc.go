// Package resyncbench measures how fast replicas are copied, `flotilla bench resync`, and proven equal, `flotilla bench check`.
//
// Nouns: a rig is three processes of this very binary on loopback, in a temporary directory, with all groups live; the
// filler writes below Raft into the shards of nodes that are stopped, the same bytes on each, so that a gigabyte is
// there within seconds; a Measure is one number with its goal; a scene brings about one situation (an empty disk, a
// trimmed log, a short absence, writes during a copy), lets the nodes close it by themselves, and reads the jobs' rows.
//
// It measures from outside what users would see: jobs over HTTP, latencies of its own writes, /proc/PID/status. Only
// comparing and proving, which have no row of their own, are called in this process, on the files of stopped nodes.
// It checks that the replicas are equal after each scene: a fast copy of something else is worth nothing.
package resyncbench
