package server

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc"
)

// Service registers itself at a gRPC server, before that serves.
type Service interface{ Register(grpc.ServiceRegistrar) }

// Listener is one socket that serves gRPC.
type Listener struct {
	grpc *grpc.Server
	done chan error
}

// Serve begins to serve on l: this Server's services, and others that share
// the socket. Options are added to the ones that the services need.
func (s *Server) Serve(l net.Listener, options []grpc.ServerOption, others ...Service) *Listener {
	options = append([]grpc.ServerOption{grpc.MaxRecvMsgSize(MaxMessageBytes)}, options...)
	n := &Listener{grpc: grpc.NewServer(options...), done: make(chan error, 1)}
	s.Register(n.grpc)
	for _, o := range others {
		o.Register(n.grpc)
	}
	go func() { n.done <- n.grpc.Serve(l) }() // ends with Close
	return n
}

// Close lets requests under way end as long as ctx lives, then breaks them off.
// Streams between nodes never end by themselves: their owner closes them first.
func (n *Listener) Close(ctx context.Context) error {
	stopped := make(chan struct{})
	go func() {
		n.grpc.GracefulStop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-ctx.Done():
		n.grpc.Stop()
		<-stopped
	}
	if err := <-n.done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}
