package leafstream

import (
	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/snapshot/transfer"
)

// Server answers the calls of other nodes.
type Server struct {
	leaves *transfer.Server
}

// NewServer makes the service.
func NewServer(leaves *transfer.Server) *Server { return &Server{leaves: leaves} }

// Register adds the service to a gRPC server, before that serves.
func (s *Server) Register(r grpc.ServiceRegistrar) {}

// Close ends the answers that are under way and waits for them; further calls are refused.
func (s *Server) Close() error { return nil }
