// Package checking is a node's own share in what package walgap/antientropy describes: it has checks made, and re-reads
// what the node stores.
//
// Nouns:
//   - the Schedule has each group that this node leads checked within storage.anti_entropy.interval.
//   - Suspects has groups checked at once, with repair, whose replica here is suspect.
//   - the Scrub re-reads all that this node stores within storage.anti_entropy.scrub_interval: the shards, the log and
//     the votes. How far it has got outlives the process (scrub.json).
//   - Logs re-reads what the log and the votes hold of one group, for a deep check of it.
//   - the Pace is the one rate of all that re-reads on a node.
//
// Who changes what. Nothing here changes a replica: a check does, through the gateway that makes it (Checks), and what a
// read shows to be wrong takes the path of any other read, in storage and raftgroup. Each part's Run is called once, by
// its owner, and ends with its context and with all that it has begun.
//
// What the package does not do. It compares and judges nothing, and decides neither what is due nor how fast a part is
// read: those are the pure parts of walgap/antientropy. It knows its node by Config alone.
package checking
