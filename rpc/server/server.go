package server

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
)

// MaxMessageBytes is what the gRPC server must accept: the largest batch (8
// MiB) with room for the overhead of protobuf. The composition root passes it
// as grpc.MaxRecvMsgSize.
const MaxMessageBytes = 12 << 20

// Server answers the services.
type Server struct {
	pb.UnimplementedFlotillaServer
	pb.UnimplementedPeerServer

	g       *gateway.Gateway
	version api.Version
	health  *health.Server
	logger  *slog.Logger
	work    work

	streams chan struct{} // a token for each stream of events
	endOnce sync.Once
	ending  chan struct{} // closed by Shutdown
}

// New makes a Server of a gateway.
func New(g *gateway.Gateway, version api.Version, logger *slog.Logger) *Server {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{g: g, version: version, health: health.NewServer(), logger: logger,
		streams: make(chan struct{}, maxEventStreams), ending: make(chan struct{})}
	s.SetReady(false)
	return s
}

// Register adds all services to a gRPC server, before it serves.
func (s *Server) Register(r *grpc.Server) {
	pb.RegisterFlotillaServer(r, s)
	pb.RegisterPeerServer(r, s)
	healthpb.RegisterHealthServer(r, s.health)
	reflection.Register(r)
}

// SetReady says through grpc.health.v1 whether this node is ready.
func (s *Server) SetReady(ready bool) {
	state := healthpb.HealthCheckResponse_NOT_SERVING
	if ready {
		state = healthpb.HealthCheckResponse_SERVING
	}
	s.health.SetServingStatus("", state)
	s.health.SetServingStatus(pb.Flotilla_ServiceDesc.ServiceName, state)
}

// Shutdown tells health watchers that the node goes, before the gRPC server
// stops, and ends the streams of events, which have no end of their own.
func (s *Server) Shutdown() {
	s.health.Shutdown()
	s.endOnce.Do(func() { close(s.ending) })
}

// Query streams rows.
func (s *Server) Query(m *pb.QueryRequest, stream grpc.ServerStreamingServer[pb.QueryReply]) error {
	q, err := gateway.QueryOf(m)
	if err != nil {
		return statusOf(err)
	}
	return statusOf(s.g.Query(stream.Context(), q, rowSender(stream)))
}

// Scan streams rows to another node.
func (s *Server) Scan(m *pb.ScanRequest, stream grpc.ServerStreamingServer[pb.ScanReply]) error {
	return statusOf(s.g.ServeScan(stream.Context(), m, stream.Send))
}

// Delete removes points.
func (s *Server) Delete(ctx context.Context, m *pb.DeleteRequest) (*pb.DeleteReply, error) {
	d := gateway.Delete{Database: m.GetDatabase(), Collection: m.GetCollection(), Devices: m.GetDevices(), From: storage.MinTime, To: storage.NoEnd}
	if m.From != nil {
		d.From = m.GetFrom()
	}
	if m.To != nil {
		d.To = m.GetTo()
	}
	groups, err := s.g.Delete(ctx, d)
	if err != nil {
		return nil, statusOf(err)
	}
	return &pb.DeleteReply{Groups: uint32(groups)}, nil
}

// Write commits one batch.
func (s *Server) Write(ctx context.Context, m *pb.WriteRequest) (*pb.WriteResult, error) {
	r := s.write(ctx, m)
	if p := r.GetProblem(); p != nil {
		return nil, statusOf(pb.ErrorOf(p))
	}
	return r, nil
}

// write carries one write out; its outcome is in the result. The caller counts
// it as work: one that does not see the server stop is waited for.
func (s *Server) write(ctx context.Context, m *pb.WriteRequest) *pb.WriteResult {
	r := &pb.WriteResult{Id: m.GetId()}
	if s.work.stopping() {
		r.Problem = pb.ProblemMessage(api.E(api.NotApplied, "repeat it at another node", "this node is stopping"))
		return r
	}
	reader := readers.Get().(*storage.PointReader)
	defer func() {
		reader.Reset()
		readers.Put(reader)
	}()
	points, err := pointsOf(reader, m, s.g.Limits())
	var w gateway.Written
	if err == nil {
		w, err = s.g.Write(ctx, points, time.Duration(m.GetTimeoutMs())*time.Millisecond)
	}
	r.Written = uint32(w.Points)
	for _, stamp := range w.Stamps {
		r.Stamped = append(r.Stamped, &pb.Stamp{Index: uint32(stamp.Index), Time: stamp.Time})
	}
	if err != nil {
		r.Problem = pb.ProblemMessage(api.AsError(err))
		r.Problem.Stamped = r.Stamped
	}
	return r
}

// document wraps an object of the API.
func document(v any, err error) (*pb.Document, error) {
	if err != nil {
		return nil, statusOf(err)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, statusOf(err)
	}
	return &pb.Document{Json: string(b)}, nil
}
