package server

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// maxHeldBytes bounds the rows of one stream that were read and not sent yet. A
// read that finds no room is answered "too large", and comes back as a Query of
// its own, whose rows wait at the client's pace.
const maxHeldBytes = 8 << 20

// QueryStream carries out the reads of a stream side by side.
func (s *Server) QueryStream(stream grpc.BidiStreamingServer[pb.QueryCall, pb.QueryAnswers]) error {
	if err := stream.SendHeader(metadata.Pairs(pb.NodeHeader, s.g.Identity())); err != nil {
		return err
	}
	var held heldBytes
	c := &calls[pb.QueryCall, pb.QueryAnswer, pb.QueryAnswers]{
		stream: stream, work: &s.work,
		carry: func(ctx context.Context, m *pb.QueryCall) (*pb.QueryAnswer, int) { return s.answer(ctx, m, &held) },
		sent:  held.give,
		wrap:  func(answers []*pb.QueryAnswer) *pb.QueryAnswers { return &pb.QueryAnswers{Answers: answers} },
	}
	return c.serve()
}

// answer carries one read out. bytes were taken from held for it.
func (s *Server) answer(ctx context.Context, m *pb.QueryCall, held *heldBytes) (a *pb.QueryAnswer, bytes int) {
	a = &pb.QueryAnswer{Id: m.GetId()}
	by, err := s.queryWhole(ctx, m, func(n int) bool {
		if !held.take(n) {
			return false
		}
		bytes += n
		return true
	}, func(device string, c *blocks.Columns) error {
		a.Rows = append(a.Rows, pb.RowsMessage(device, c))
		return nil
	})
	if err != nil { // rows of an answer that is not complete are none
		a.Rows = nil
		if a.TooLarge = errors.Is(err, gateway.ErrAnswerTooLarge); !a.TooLarge {
			a.Problem = pb.ProblemMessage(readProblem(err))
		}
		return a, bytes
	}
	if r, ok := s.g.Route(by); ok && (r.Forwarded || m.GetLearn()) {
		a.Route = &pb.Route{Group: r.Group, TotalGroups: r.TotalGroups, Node: r.Identity, RpcAddr: r.Node.RPCAddr}
	}
	return a, bytes
}

func (s *Server) queryWhole(ctx context.Context, m *pb.QueryCall, room func(int) bool, rows gateway.Rows) (gateway.Answered, error) {
	if s.work.stopping() {
		return gateway.Answered{}, api.E(api.NotReady, "repeat it at another node", "this node is stopping")
	}
	q, err := gateway.QueryOf(m.GetQuery())
	if err != nil {
		return gateway.Answered{}, err
	}
	if ms := m.GetTimeoutMs(); ms > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
		defer cancel()
	}
	return s.g.QueryWhole(ctx, q, room, rows)
}

// readProblem makes an error that users may see of a failed read.
func readProblem(err error) *api.Error {
	if _, ours := errors.AsType[*api.Error](err); !ours && errors.Is(err, context.DeadlineExceeded) {
		return api.E(api.Unavailable, "give it more time", "the read was not done in time")
	}
	return api.AsError(err)
}

// heldBytes counts what the answers of a stream hold.
type heldBytes struct{ n atomic.Int64 }

func (h *heldBytes) take(n int) bool {
	if h.n.Add(int64(n)) > maxHeldBytes {
		h.give(n)
		return false
	}
	return true
}

func (h *heldBytes) give(n int) { h.n.Add(-int64(n)) }
