// Package leafstream carries leaves between nodes over gRPC: Client is a
// transfer.Source, Server answers from a transfer.Server.
//
// One call of the method Fetch is one batch: a request, and a stream of the
// messages that snapshot/transfer draws in its format.go. The service is
// described by hand, as that of raftmux is, since its messages are raw bytes:
// leaf bytes are written to the socket from where the shard put them, and read
// from gRPC's buffers into the leaf that is being put together. There is no
// protobuf in between.
//
// It decides nothing: what may be served is transfer.Server's business, what
// is asked for the Scheduler's. It keeps no connections.
package leafstream
