// Package membership holds the nouns of a cluster: which nodes there are
// (Node, NodeID), how a replica is called in Raft (ServerID), who should hold
// a group (Assignment) and who gave birth to it (Birth).
//
// The values are plain data. They change only through commands of the meta
// group (package membership/directory); who should hold what is decided in
// membership/placement; membership/gossip finds the nodes of a cluster. This
// package does no I/O, keeps no state and imports nothing else of Flotilla.
package membership
