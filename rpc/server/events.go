package server

import (
	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

// maxEventStreams bounds the streams of events that a node serves at once over
// gRPC.
const maxEventStreams = 64

// Events streams what happens. A client that does not read holds its stream back,
// and misses what is forgotten meanwhile.
func (s *Server) Events(m *pb.EventsRequest, stream grpc.ServerStreamingServer[pb.Document]) error {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return statusOf(api.E(api.Busy, "use another node, or end a stream", "%d streams of events are open", maxEventStreams))
	}
	for after := s.g.EventsFrom(m.GetAfter()); ; {
		events, more := s.g.Events(after)
		for i := range events {
			d, err := document(&events[i], nil)
			if err == nil {
				err = stream.Send(d)
			}
			if err != nil {
				return err
			}
			after = events[i].ID
		}
		if len(events) > 0 {
			continue
		}
		select {
		case <-more:
		case <-s.ending:
			return statusOf(api.E(api.NotReady, "follow another node", "this node is stopping"))
		case <-stream.Context().Done():
			return statusOf(stream.Context().Err())
		}
	}
}
