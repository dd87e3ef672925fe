// Package server is the gRPC face of a node: it translates flotilla.proto to
// the gateway and back. It decides nothing.
//
// Register adds the services Flotilla and Peer, health and reflection to a
// gRPC server that somebody else owns and stops. Errors leave as a status
// whose details hold the problem document (status.go maps the codes). Each
// call under way on a WriteStream or QueryStream has a goroutine to itself; their
// number is bounded, and the stream waits for them before it returns (stream.go).
// What a QueryStream has read and not yet sent is bounded too, in bytes.
package server
