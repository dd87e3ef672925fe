package server

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"

	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/rpc/pb"
)

// Service registers itself at a gRPC server, before that serves.
type Service interface{ Register(grpc.ServiceRegistrar) }

// Listener is one socket that serves gRPC.
type Listener struct {
	server  *Server
	grpc    *grpc.Server
	serving chan error    // what Serve returned
	drained sync.Once     // GracefulStop was called
	stopped chan struct{} // closed when it has returned
}

// Serve begins to serve on l: this Server's services, and others that share
// the socket. Options are added to the ones that the services need.
func (s *Server) Serve(l net.Listener, options []grpc.ServerOption, others ...Service) *Listener {
	options = append([]grpc.ServerOption{
		grpc.MaxRecvMsgSize(MaxMessageBytes),
		grpc.ChainUnaryInterceptor(s.countUnary), grpc.ChainStreamInterceptor(s.countStream),
	}, options...)
	n := &Listener{server: s, grpc: grpc.NewServer(options...), serving: make(chan error, 1), stopped: make(chan struct{})}
	s.Register(n.grpc)
	for _, o := range others {
		o.Register(n.grpc)
	}
	go func() { n.serving <- n.grpc.Serve(l) }() // ends with Close
	return n
}

// Drain takes no more connections and calls, and waits until the requests of
// clients have ended, or ctx. Streams between nodes go on until Close.
func (n *Listener) Drain(ctx context.Context) {
	idle := n.server.work.drain()
	n.stop()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

func (n *Listener) stop() {
	n.drained.Do(func() {
		go func() { // ends at the latest with Close
			n.grpc.GracefulStop()
			close(n.stopped)
		}()
	})
}

// Close is Drain, and then the end of everything: what is still under way is
// broken off.
func (n *Listener) Close(ctx context.Context) error {
	n.Drain(ctx)
	n.grpc.Stop()
	<-n.stopped
	if err := <-n.serving; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

func (s *Server) countUnary(ctx context.Context, m any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	s.work.begin()
	defer s.work.end()
	return handle(ctx, m)
}

// countStream counts streams of results. A stream of calls may be idle: it is its
// calls that count. All others live as long as their connection.
func (s *Server) countStream(impl any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ours := strings.HasPrefix(info.FullMethod, "/"+pb.Flotilla_ServiceDesc.ServiceName+"/")
	ofCalls := info.FullMethod == pb.Flotilla_WriteStream_FullMethodName || info.FullMethod == pb.Flotilla_QueryStream_FullMethodName
	if ours && !ofCalls {
		s.work.begin()
		defer s.work.end()
	}
	return handle(impl, stream)
}
