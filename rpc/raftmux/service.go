package raftmux

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The service is described by hand: its messages are raw bytes.
const (
	serviceName  = "flotilla.mux.v1.Mux"
	streamName   = "Frames"
	streamMethod = "/" + serviceName + "/" + streamName
)

var streamDesc = grpc.StreamDesc{StreamName: streamName, ServerStreams: true, ClientStreams: true}

// acceptor is what gRPC checks the registered implementation against.
type acceptor interface{ accept(grpc.ServerStream) error }

// Register adds the stream's service to a gRPC server, before it serves.
func (m *Mux) Register(server grpc.ServiceRegistrar) {
	desc := streamDesc
	desc.Handler = func(impl any, st grpc.ServerStream) error { return impl.(acceptor).accept(st) }
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: serviceName,
		HandlerType: (*acceptor)(nil),
		Streams:     []grpc.StreamDesc{desc},
	}, m)
}

// ServerOptions are the gRPC server options that suit the stream.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connWindow)}
}

// accept serves one incoming stream. The handler's goroutine only waits: when
// it returns, gRPC ends the stream and with it what the link's goroutines are
// blocked in.
func (m *Mux) accept(st grpc.ServerStream) error {
	m.mu.RLock()
	if m.closed {
		m.mu.RUnlock()
		return status.Error(codes.Unavailable, "shutting down")
	}
	in := newInLink(m)
	m.goroutines.Go(func() { in.fail(in.run(st)) }) // added under the lock: Close has not begun to wait
	m.mu.RUnlock()
	hello := time.NewTimer(m.timings.Hello)
	defer hello.Stop()
	select {
	case <-in.welcomed:
		<-in.stop
	case <-in.stop:
	case <-m.closing:
	case <-hello.C:
		in.fail(errors.New("no handshake in time"))
	}
	in.fail(ErrClosed)
	err := in.reason()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return status.Error(codes.Unavailable, cleanText(err.Error()))
}
