// Package node is the composition root: it makes one running node of the parts.
//
// A Node owns a data directory (identity, lock), the listeners, and one of each
// part: gossip, raftmux, the directory (meta group), the host of the data
// groups, the gateway and the servers. Start brings them up in the order in
// which they depend on each other; Close takes them down in the reverse order,
// leaderships first. The files here hold wiring and the node's own loops:
// becoming a member, holding what the table assigns, giving leadership to
// primaries, retention, the watches of disk and clock, readiness.
//
// Package syncing runs its resyncs; package checking has checks made and re-reads
// what is stored here, and adapter_examiner.go answers the checks of others.
//
// It decides nothing that a part can decide; what it translates between parts
// (adapter_*.go) it neither buffers nor repeats.
package node
