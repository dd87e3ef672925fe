// Package transfer moves leaves from the replicas that pinned a cut to the one
// that wants them.
//
// Nouns:
//   - Plan: which leaves are wanted, of which cut, and who may give them.
//   - Source: one replica that pinned the cut. It is asked for batches.
//   - batch: leaves that one source is asked for at once.
//   - Scheduler: pure; says which source fetches which leaves next.
//   - message: what crosses the wire, 128 KiB to 16 MiB: parts of one large
//     leaf, or many small ones (format.go draws it).
//   - Limits: what all transfers of a node share: bytes in flight, rates.
//   - Server: the serving side, over Views.
//
// Run pulls. The sink verifies and stores each leaf; only the sink hashes. A
// source that fails, lies or falls silent is dropped and its leaves go back to
// the others. What is in memory is bounded: MaxInFlight bytes of all transfers
// of a node (or one leaf where a leaf is larger), and on the serving side a
// leaf and a message for each of MaxStreams streams.
//
// What it does not do: it keeps nothing between runs (a caller that resumes
// asks for what is missing), decides no verdict, pins no cut, and knows nothing
// of gRPC (rpc/leafstream carries its messages).
package transfer
