package client

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
)

// Written is the result of a write.
type Written struct {
	Points   int
	Stamps   []Stamp // of the points that had no time
	Attempts int     // 1 unless it was repeated
}

// Stamp is the time that was given to one point of a batch.
type Stamp struct {
	Index int
	Time  int64 // ns
}

// Write commits a batch as one write: all of it, or an error whose Code says
// what is known. The points are not changed.
func (c *Client) Write(ctx context.Context, points []Point) (Written, error) {
	if err := validate(points); err != nil {
		return Written{}, err
	}
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	w := Written{}
	// After an unknown outcome every later "not applied" speaks of the later
	// attempt alone: the write as a whole stays unknown.
	var unknown *api.Error
	for attempt := 0; ; attempt++ {
		r, err := c.next().write(ctx, points)
		w.Attempts++
		if err == nil {
			w.Points = len(points)
			w.Stamps = append(w.Stamps, stampsOf(r.GetStamped())...)
			return w, nil
		}
		e := errorOf(err, false)
		if len(e.Stamped) > 0 {
			points, w.Stamps = stamped(points, e.Stamped, w.Stamps)
		}
		again := e.Code.Retryable()
		if e.Code.Unknown() {
			unknown = e
			again = !c.o.NoRetryUnknown && allTimed(points)
		}
		if again && c.o.RetryFor >= 0 && backOff(ctx, attempt) {
			continue
		}
		if unknown != nil {
			return w, unknown
		}
		return w, e
	}
}

// validate refuses here what the node would refuse, and what the packed form
// cannot carry: with the node's words, and all points that are wrong.
func validate(points []Point) error {
	var bad []api.PointError
	count := 0
	for i := range points {
		err := storage.ValidatePoint(&points[i], storage.DefaultLimits)
		if err == nil {
			continue
		}
		if count++; len(bad) < api.MaxPointErrors {
			bad = append(bad, api.PointError{Index: i, ID: points[i].Device, Reason: err.Error()})
		}
	}
	if count == 0 {
		return nil
	}
	e := api.E(api.InvalidPoints, "correct or leave out the points that are listed", "%d of %d points are invalid, nothing was written; the first: %s",
		count, len(points), bad[0].Reason)
	e.Points = bad
	return e
}

func allTimed(points []Point) bool {
	return !slices.ContainsFunc(points, func(p Point) bool { return p.Time == NoTime })
}

// stamped gives a copy of the points with the times that the node gave them:
// the repetition must carry the same ones.
func stamped(points []Point, stamps []api.Stamp, all []Stamp) ([]Point, []Stamp) {
	points = slices.Clone(points)
	for _, s := range stamps {
		if s.Index >= 0 && s.Index < len(points) && points[s.Index].Time == NoTime {
			points[s.Index].Time = s.Time.UnixNano()
			all = append(all, Stamp{s.Index, points[s.Index].Time})
		}
	}
	return points, all
}

func stampsOf(ms []*pb.Stamp) []Stamp {
	var out []Stamp
	for _, m := range ms {
		out = append(out, Stamp{int(m.GetIndex()), m.GetTime()})
	}
	return out
}

// writeStream is the kind of streams that writes travel on.
func writeStream(n pb.FlotillaClient) streamKind[pb.WriteRequest, pb.WriteResult, pb.WriteResults] {
	return streamKind[pb.WriteRequest, pb.WriteResult, pb.WriteResults]{
		open: func(ctx context.Context) (grpc.BidiStreamingClient[pb.WriteRequest, pb.WriteResults], error) {
			return n.WriteStream(ctx)
		},
		name:    func(m *pb.WriteRequest, id uint64) { m.Id = id },
		id:      (*pb.WriteResult).GetId,
		answers: (*pb.WriteResults).GetResults,
	}
}

// write is one attempt over one connection.
func (n *conn) write(ctx context.Context, points []Point) (*pb.WriteResult, error) {
	packed := storage.AppendPut(nil, points)
	if most := storage.DefaultLimits.BatchBytes; len(packed) > most {
		// A message that the node does not take breaks the stream, and the writes of others on it.
		return nil, api.E(api.TooLarge, "send several", "the batch has %d bytes, over %d: nothing was written", len(packed), most)
	}
	r, err := n.writes.do(ctx, &pb.WriteRequest{Packed: packed, TimeoutMs: nodeTimeoutMs(ctx)}, nil)
	if l, ok := errors.AsType[*lostCall](err); ok {
		return nil, lostWrite(l)
	}
	if err != nil {
		return nil, err
	}
	if p := r.GetProblem(); p != nil {
		return nil, pb.ErrorOf(p)
	}
	return r, nil
}

// lostWrite says what is known of a write that got no answer.
func lostWrite(l *lostCall) *api.Error {
	late := errors.Is(l.cause, context.DeadlineExceeded) || errors.Is(l.cause, context.Canceled)
	unknown := api.E(api.OutcomeUnknown, "read back, or repeat with the same timestamps", "the connection broke while the write was on its way")
	switch {
	case !l.sent && late:
		return api.E(api.NotApplied, "retry", "the write was not sent in time").Because(l.cause)
	case !l.sent:
		return api.E(api.NotApplied, "retry", "the connection broke before the write was sent").Because(l.cause)
	case late:
		unknown.Detail = "no answer in time"
	}
	return unknown.Because(l.cause)
}
