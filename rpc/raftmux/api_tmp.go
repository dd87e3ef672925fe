package raftmux

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/membership"
)

// Mux is a node's end of the streams to and from all its peers.
type Mux struct{}

// New checks the config and makes a Mux. Nothing is dialled before the first
// request, Connect, or a peer's own stream.
func New(Config) (*Mux, error) { return nil, nil }

// Register adds the stream's service to a gRPC server (before it serves).
func (m *Mux) Register(grpc.ServiceRegistrar) {}

// Close ends all streams, fails what waits, and waits for its goroutines.
func (m *Mux) Close() error { return nil }

// Connect keeps streams to these nodes open from now on, so that their
// silence is noticed; a node that opens a stream to us is connected by itself.
func (m *Mux) Connect(...membership.NodeID) {}

// Forget ends the stream to a node (removed, or replaced by a new
// incarnation) and stops redialling it.
func (m *Mux) Forget(membership.NodeID) {}

// Transport is one group's raft.Transport.
type Transport struct{ raft.Transport }

// Transport opens the transport of a group's Raft instance.
func (m *Mux) Transport(group uint32, lineage string, self membership.ServerID) *Transport {
	return nil
}

// OnGap sets the gap alarm of a data group: it is called, instead of sending
// an InstallSnapshot, with the peer that the log no longer reaches.
func (t *Transport) OnGap(func(peer membership.ServerID, req *raft.InstallSnapshotRequest)) {}

// Campaign makes the own Raft instance start an election now: a local
// TimeoutNow. Raft checks neither state nor suffrage: the caller must.
func (t *Transport) Campaign(ctx context.Context) error { return nil }

// Close takes the group off the Mux and fails its waiting RPCs. Call it before
// waiting for raft.Shutdown, or that waits for their deadlines.
func (t *Transport) Close() error { return nil }

// Method names a handler. Zero is not a method.
type Method uint8

// HandlerFunc answers calls of one method. The payload is only lent, and the
// context ends with the caller's deadline, its cancellation or its stream.
type HandlerFunc func(ctx context.Context, from membership.NodeID, payload []byte) ([]byte, error)

// Handle sets the handler of a method, before the first call of it.
func (m *Mux) Handle(Method, HandlerFunc) {}

// CallOption changes how one Call travels.
type CallOption uint8

// Urgent: everything to and from that peer leaves at once while this call
// waits (a reader waits for it).
const Urgent CallOption = 1

// Call asks a peer (or, directly, this node) and waits for its answer.
// Errors: ErrUnreachable, ErrBusy, ErrTooLarge, ErrClosed: certainly not
// executed. ErrBroken: unknown (also wraps the context's error when that is
// why). *RemoteError: see its Executed.
func (m *Mux) Call(ctx context.Context, to membership.NodeID, method Method, payload []byte, options ...CallOption) ([]byte, error) {
	return nil, nil
}

// PeerState is what is known of a peer at one moment.
type PeerState struct {
	Connected bool          // our stream to it is open
	Refused   bool          // the last dial was refused, or another incarnation answered: the process is dead
	Silent    time.Duration // since the last frame from it, on either stream; 0 if there never was one
}

// PeerEvent is a change of a peer.
type PeerEvent uint8

// Events. Down: the stream broke and a redial was refused. Silent: nothing was
// heard for Timings.Silent. Back: heard again after either.
const (
	PeerDown PeerEvent = iota + 1
	PeerSilent
	PeerBack
)

// Peer reports a peer's state.
func (m *Mux) Peer(to membership.NodeID) PeerState { return PeerState{} }

// OnPeer adds an observer of peer events. Observers are called one at a time.
func (m *Mux) OnPeer(func(membership.NodeID, PeerEvent)) {}

// Conn gives the gRPC connection to a peer, for streaming RPCs beside the
// frames. It is shared: do not close it.
func (m *Mux) Conn(ctx context.Context, to membership.NodeID) (*grpc.ClientConn, error) {
	return nil, nil
}

// ServerOptions are the gRPC server options that suit the stream.
func ServerOptions() []grpc.ServerOption { return nil }
