package raftmux

import "github.com/flotilla-db/flotilla/membership"

// The bounds of everything that can grow here.
const (
	// MaxPayload bounds the payload of a Call and of its answer, in bytes.
	MaxPayload = 16 << 20

	// maxRaftFrame bounds one AppendEntries: Raft counts entries, not bytes,
	// so 64 full proposals of 512 KiB must fit.
	maxRaftFrame = 40 << 20
	// maxCallFrame bounds a frame that carries a Call or its answer.
	maxCallFrame = MaxPayload + 1024
	// maxEntries bounds the entries of one AppendEntries (Raft's own limit).
	maxEntries = 1024

	// maxFrame bounds a frame that is sent whole; larger ones go in fragments.
	maxFrame = 24 << 10
	// fragmentSize is what one lane adds to a message.
	fragmentSize = 64 << 10
	// segmentSize is the size of a gathered message.
	segmentSize = 32 << 10
	// maxMessage bounds a gRPC message: a segment and a fragment of each lane.
	maxMessage = segmentSize + laneCount*(fragmentSize+64) + 1024

	// maxQueueBytes bounds what waits on one link before senders are held
	// back (calls, answers) or refused (Raft).
	maxQueueBytes = 64 << 20
	// hardQueueBytes ends a link whose peer does not read our answers.
	hardQueueBytes = maxQueueBytes + 16<<20

	// maxPipelined is how many AppendEntries of one group may be on their way
	// to a peer: deeper pipelines only destroy batching.
	maxPipelined = 2
	// pipelineResults bounds answered AppendEntries that Raft has not taken.
	pipelineResults = 64
	// maxCalls bounds the calls to one peer that wait for their answer.
	maxCalls = 8192

	// consumerQueue bounds the RPCs that wait for one group's Raft instance.
	consumerQueue = 64
	// heartbeatQueue bounds the heartbeats of one link that wait.
	heartbeatQueue = 2048
	// maxHandlers bounds the goroutines that run handlers of calls.
	maxHandlers = 1024
	// idleHandlers is how many of them stay for the next call.
	idleHandlers = 16
	// handlerQueue bounds the calls that wait for a handler's goroutine.
	handlerQueue = 1024
	// maxSnapshots bounds the snapshots that are being received on one link.
	maxSnapshots = 2
	// snapshotChunk is the size of one chunk of the meta group's snapshot.
	snapshotChunk = 128 << 10
	// maxErrorText bounds an error's text on the wire, in bytes.
	maxErrorText = 512
	// maxName bounds an id in the handshake, in bytes.
	maxName = 128
	// maxPeers bounds the nodes that a Mux keeps links with.
	maxPeers = 1024
	// maxSenderIDs bounds the server ids of a peer that a link remembers.
	maxSenderIDs = 16
)

// streamWindow and connWindow are the flow control windows of HTTP/2, in
// bytes; fixed ones spare gRPC its bandwidth probes, which cost an idle node.
const (
	streamWindow = 4 << 20
	connWindow   = 16 << 20
)

// MetaGroup is the id of the meta group: the only one whose snapshots cross
// the wire.
const MetaGroup = membership.MetaGroup
