package server

import (
	"context"

	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/rpc/pb"
)

// WriteStream carries out the writes of a stream side by side.
func (s *Server) WriteStream(stream grpc.BidiStreamingServer[pb.WriteRequest, pb.WriteResults]) error {
	c := &calls[pb.WriteRequest, pb.WriteResult, pb.WriteResults]{
		stream: stream, work: &s.work,
		carry: func(ctx context.Context, m *pb.WriteRequest) (*pb.WriteResult, int) { return s.write(ctx, m), 0 },
		sent:  func(int) {},
		wrap:  func(results []*pb.WriteResult) *pb.WriteResults { return &pb.WriteResults{Results: results} },
	}
	return c.serve()
}
