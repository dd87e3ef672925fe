package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

const (
	// WholeAnswerBytes bounds the memory of an answer that is handed on whole:
	// that of a call between nodes, and of QueryWhole. What is larger is
	// streamed.
	WholeAnswerBytes = 256 << 10
	// maxScanMessage bounds one message of a stream: a chunk of blocks.MaxRows
	// rows may hold long strings.
	maxScanMessage = 256 << 20
)

// ErrAnswerTooLarge ends a read whose answer is not handed on whole: stream it.
var ErrAnswerTooLarge = errors.New("the answer is too large to be handed on whole")

func scanRequest(q *Query, groups []uint32) *pb.ScanRequest {
	return &pb.ScanRequest{Query: q.message(), Groups: groups}
}

// serveQuery answers a read as one message, or that it needs a stream.
func (g *Gateway) serveQuery(ctx context.Context, payload []byte) ([]byte, error) {
	var m pb.ScanRequest
	if err := proto.Unmarshal(payload, &m); err != nil {
		return nil, fmt.Errorf("query: %w", errPayload)
	}
	q, err := QueryOf(m.GetQuery())
	if err != nil {
		return nil, err
	}
	reply, bytes := &pb.ScanReply{}, 0
	whole := 0 // rows of groups that have ended
	err = g.readHere(ctx, m.GetGroups(), &q, func(device string, c *blocks.Columns) error {
		reply.Rows = append(reply.Rows, pb.RowsMessage(device, c))
		if bytes += rowBytes(c); bytes > WholeAnswerBytes {
			return ErrAnswerTooLarge
		}
		return nil
	}, func(group uint32, _ bool, err error) error {
		if err != nil {
			reply.Rows = reply.Rows[:whole] // a group that failed gives no rows
		}
		whole = len(reply.Rows)
		note(reply, group, err)
		return nil
	})
	if errors.Is(err, ErrAnswerTooLarge) {
		reply, err = &pb.ScanReply{TooLarge: true}, nil
	}
	if err != nil {
		return nil, err
	}
	return proto.Marshal(reply)
}

// ServeScan answers a read as a stream.
func (g *Gateway) ServeScan(ctx context.Context, m *pb.ScanRequest, send func(*pb.ScanReply) error) error {
	q, err := QueryOf(m.GetQuery())
	if err != nil {
		return err
	}
	return g.readHere(ctx, m.GetGroups(), &q, func(device string, c *blocks.Columns) error {
		return send(&pb.ScanReply{Rows: []*pb.QueryReply{pb.RowsMessage(device, c)}})
	}, func(group uint32, _ bool, err error) error {
		reply := &pb.ScanReply{}
		note(reply, group, err)
		return send(reply)
	})
}

// note says in a reply how the read of a group ended.
func note(reply *pb.ScanReply, group uint32, err error) {
	if err == nil {
		reply.Complete = append(reply.Complete, group)
		return
	}
	e := classifyRead(err)
	out := &pb.GroupError{Group: group, Reason: uint32(e.class), Leader: e.leader, Detail: e.Error()}
	if e.class == readFinal {
		out.Problem = pb.ProblemMessage(api.AsError(e.err))
	}
	reply.Failed = append(reply.Failed, out)
}

// readErrorOf is the inverse of note for one failed group.
func readErrorOf(node string, m *pb.GroupError) error {
	e := &readError{class: readClass(m.GetReason()), leader: m.GetLeader(), err: fmt.Errorf("node %s: %s", node, m.GetDetail())}
	switch {
	case m.GetProblem() != nil:
		e.class, e.err = readFinal, pb.ErrorOf(m.GetProblem())
	case e.class != readNotLeader:
		e.class = readAgain
	}
	return e
}

// readCall reads groups of a peer in one call.
func (g *Gateway) readCall(ctx context.Context, r *remoteRead, q *Query) {
	payload, err := proto.Marshal(scanRequest(q, r.groups))
	if err != nil {
		r.err = err
		return
	}
	b, err := g.cfg.Peers.Call(ctx, r.to, MethodQuery, payload)
	if err != nil {
		r.err = fmt.Errorf("read from node %s: %w", r.to.Name, err)
		return
	}
	r.reply = &pb.ScanReply{}
	if err := proto.Unmarshal(b, r.reply); err != nil {
		r.err = fmt.Errorf("answer of node %s: %w", r.to.Name, errPayload)
	}
}

// readStream reads groups of a peer over a stream. done is told how each
// group ended; a group of which rows were taken and that did not end is
// reported with emitted set.
func (g *Gateway) readStream(ctx context.Context, r *remoteRead, q *Query, rows Rows, done func(group uint32, emitted bool, err error) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	broken := func(emitted bool, err error) error {
		err = &readError{readAgain, "", fmt.Errorf("read from node %s: %w", r.to.Name, err)}
		for _, group := range r.groups {
			if err := done(group, emitted, err); err != nil {
				return err
			}
			emitted = false
		}
		return nil
	}
	conn, err := g.cfg.Peers.Conn(ctx, r.to)
	if err != nil {
		return broken(false, err)
	}
	stream, err := pb.NewPeerClient(conn).Scan(ctx, scanRequest(q, r.groups), grpc.MaxCallRecvMsgSize(maxScanMessage))
	if err != nil {
		return broken(false, err)
	}
	emitted := false
	for len(r.groups) > 0 {
		m, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errPayload // it ended before its groups did
			}
			return broken(emitted, err)
		}
		if len(m.GetRows()) > 0 {
			emitted = true
		}
		if err := takeRows(m, rows); err != nil {
			return err
		}
		if err := r.settle(m, &emitted, done); err != nil {
			return err
		}
	}
	return nil
}

func takeRows(m *pb.ScanReply, rows Rows) error {
	for _, in := range m.GetRows() {
		c, err := pb.RowsOf(in)
		if err != nil {
			return err
		}
		if err := rows(in.GetDevice(), c); err != nil {
			return err
		}
	}
	return nil
}

// remoteRead is what one peer is asked for.
type remoteRead struct {
	to     membership.NodeID
	groups []uint32 // not yet ended
	reply  *pb.ScanReply
	err    error
}

// settle takes the ends of groups from a message.
func (r *remoteRead) settle(m *pb.ScanReply, emitted *bool, done func(uint32, bool, error) error) error {
	end := func(group uint32, err error) error {
		for i, id := range r.groups {
			if id == group {
				r.groups = append(r.groups[:i:i], r.groups[i+1:]...)
				was := *emitted
				*emitted = false
				return done(group, was, err)
			}
		}
		return nil // not asked for
	}
	for _, group := range m.GetComplete() {
		if err := end(group, nil); err != nil {
			return err
		}
	}
	for _, f := range m.GetFailed() {
		if err := end(f.GetGroup(), readErrorOf(r.to.Name, f)); err != nil {
			return err
		}
	}
	return nil
}
