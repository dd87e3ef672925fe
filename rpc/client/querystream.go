package client

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

// A Query is a gRPC call of its own, which costs both ends more than twice
// what a pair of messages on an open stream does (BenchmarkBareRead). An answer over a bound of the node
// (256 KiB) is not given on the stream: such a read is asked for twice. So the
// stream carries the queries whose answers are known to be small, and those of
// a range of few devices, whose answers mostly are.
const (
	// wholeRows bounds the rows of an answer that is known to be small.
	wholeRows = 1024
	// wholeDevices bounds the devices of a range whose rows nobody counted. The
	// node has the same bound.
	wholeDevices = 4
	// largeRun is for how many ranges a Client does not try the stream after one
	// of them was too large: ranges of one Client are alike.
	largeRun = 64
)

var (
	// errTooLarge: the node gives this answer to a Query only.
	errTooLarge = errors.New("the answer is too large for the stream of small ones")
	// errOldNode: the node knows no QueryStream. Ask with Query.
	errOldNode = errors.New("the node has no stream of small answers")
)

// rowsAtMost is the most rows that a query of named devices can give; false
// where only the data know.
func (q *Query) rowsAtMost() (int64, bool) {
	devices := int64(len(q.Devices))
	switch {
	case q.Limit > 0:
		return devices * int64(q.Limit), q.Limit <= wholeRows // the product stays in range
	case q.Aggregation == None:
		return 0, false
	case q.Every <= 0:
		return devices, true
	case q.From == nil || q.To == nil || *q.To < *q.From || uint64(*q.To)-uint64(*q.From) > wholeRows*uint64(q.Every):
		return 0, false
	}
	return devices * ((*q.To-*q.From)/int64(q.Every) + 2), true // both ends may cut a bucket
}

// largeAnswers remembers that ranges gave large answers of late.
type largeAnswers struct{ left atomic.Int64 } // ranges that are not tried on the stream

// expectSmall reports whether to try a query on the stream.
func (l *largeAnswers) expectSmall(q *Query) bool {
	if len(q.Devices) == 0 {
		return false
	}
	if rows, known := q.rowsAtMost(); known {
		return rows <= wholeRows
	}
	if q.Limit > 0 || q.Aggregation != None || len(q.Devices) > wholeDevices {
		return false
	}
	return l.left.Load() <= 0 || l.left.Add(-1) < 0
}

// met notes that an answer was too large.
func (l *largeAnswers) met(q *Query) {
	if _, known := q.rowsAtMost(); !known { // else it is the rows that are large
		l.left.Store(largeRun)
	}
}

// queryStream is the kind of streams that small reads travel on.
func queryStream(n pb.FlotillaClient) streamKind[pb.QueryCall, pb.QueryAnswer, pb.QueryAnswers] {
	return streamKind[pb.QueryCall, pb.QueryAnswer, pb.QueryAnswers]{
		open: func(ctx context.Context) (grpc.BidiStreamingClient[pb.QueryCall, pb.QueryAnswers], error) {
			return n.QueryStream(ctx)
		},
		name:    func(m *pb.QueryCall, id uint64) { m.Id = id },
		id:      (*pb.QueryAnswer).GetId,
		answers: (*pb.QueryAnswers).GetAnswers,
	}
}

// queryWhole is one attempt over the connection's stream, for as long as there
// is patience (nil: no end). errTooLarge and errOldNode mean that Query is to be
// asked.
func (n *conn) queryWhole(ctx context.Context, m *pb.QueryCall, patience <-chan time.Time) (*pb.QueryAnswer, error) {
	a, err := n.queries.do(ctx, m, patience)
	switch {
	case status.Code(err) == codes.Unimplemented:
		n.oldNode.Store(true)
		return nil, errOldNode
	case err != nil:
		return nil, lostQuery(ctx, err)
	case a.GetProblem() != nil:
		return nil, pb.ErrorOf(a.GetProblem())
	case a.GetTooLarge():
		return nil, errTooLarge
	}
	return a, nil
}

// lostQuery is the error of a read that got no answer. That the stream of all
// was cancelled does not mean that this caller has cancelled.
func lostQuery(ctx context.Context, err error) error {
	l, ok := errors.AsType[*lostCall](err)
	switch {
	case !ok:
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return api.E(api.Cancelled, "", "the call was cancelled").Because(l.cause)
	case ctx.Err() != nil:
		return api.E(api.Unavailable, "give it more time; see that the node runs", "no answer in time").Because(l.cause)
	}
	return api.E(api.NotReady, "retry; see that the node runs", "the connection broke").Because(l.cause)
}
