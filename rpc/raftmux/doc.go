// Package raftmux carries everything that nodes say to each other over one
// gRPC stream a peer and direction: the Raft RPCs of all groups, their
// heartbeats, generic calls and a node-level ping.
//
// Nouns. A Mux is a node's end of all its streams. A link is one direction:
// the outgoing link to a peer carries our requests and its answers, the
// incoming one its requests and our answers. A Transport is one group's
// raft.Transport on the Mux; its addresses are server ids. A frame is one
// request or answer; frames that wait together leave as one message (pacer.go
// says how long they may wait), and a frame that is too large for a message
// leaves in fragments on a lane of its own, so that no heartbeat waits for it.
// The Raft frames of one group arrive in the order in which they were sent, but
// for heartbeats (sender.go), or Raft would drop its pipeline under load.
//
// Who changes what. A link's sender owns the bytes that wait; its reader never
// blocks on a group or a handler: what finds a full queue is answered "busy".
// Transports own the delivery to their Raft instance, in the order of arrival.
// All queues are bounded, and the bounds are named in limits.go.
//
// What it does not do: it keeps no state on disk, resolves no names (Config.
// Resolve does), encrypts nothing (the cluster key proves who opens a stream,
// it does not hide what is said), never answers an AppendEntries on a peer's
// behalf, and never carries an InstallSnapshot of a data group: that is the
// gap alarm (Transport.OnGap).
package raftmux
