package client

import (
	"context"
	"errors"
	"slices"
	"time"

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

// answerTime is what the node gives up early, so that its word (not applied, or
// unknown) is here before the caller's time is over: else all were unknown.
const answerTime = 500 * time.Millisecond

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
		if again && c.o.RetryFor >= 0 && pause(ctx, attempt) {
			continue
		}
		if unknown != nil {
			return w, unknown
		}
		return w, e
	}
}

// validate refuses here what the node would refuse, and what the packed form
// cannot carry.
func validate(points []Point) error {
	for i := range points {
		if err := storage.ValidatePoint(&points[i], storage.DefaultLimits); err != nil {
			hint := ""
			if invalid, ok := errors.AsType[*storage.InvalidError](err); ok {
				hint = invalid.Hint
			}
			e := api.E(api.InvalidPoints, hint, "point %d: %v", i, err)
			e.Points = []api.PointError{{Index: i, ID: points[i].Device, Reason: err.Error()}}
			return e
		}
	}
	return nil
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

// write is one attempt over one connection.
func (n *conn) write(ctx context.Context, points []Point) (*pb.WriteResult, error) {
	m := &pb.WriteRequest{Packed: storage.AppendPut(nil, points)}
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		left -= min(answerTime, left/4)
		m.TimeoutMs = uint32(max(1, min(left.Milliseconds(), 1<<31)))
	}
	r, err := n.writes.do(ctx, m)
	if err != nil {
		return nil, err
	}
	if p := r.GetProblem(); p != nil {
		return nil, pb.ErrorOf(p)
	}
	return r, nil
}
