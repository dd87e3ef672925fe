package client

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

// The levels of a read.
const (
	Linearizable = pb.Consistency_LINEARIZABLE // default: sees every write that was acked before the read began
	Leader       = pb.Consistency_LEADER       // from who believes to lead, unchecked
	Stale        = pb.Consistency_STALE        // from any replica
)

// The aggregates.
const (
	None  = pb.Aggregation_NONE
	Mean  = pb.Aggregation_MEAN
	Min   = pb.Aggregation_MIN
	Max   = pb.Aggregation_MAX
	Sum   = pb.Aggregation_SUM
	Count = pb.Aggregation_COUNT
	First = pb.Aggregation_FIRST
	Last  = pb.Aggregation_LAST
)

// Query is a read of one collection.
type Query struct {
	Database, Collection string
	Devices              []string // none: all of the collection
	From, To             *int64   // ns, To exclusive; nil: without a bound
	Fields               []string // none: all
	Limit                int      // points of each device; 0: all
	Descending           bool
	Consistency          pb.Consistency
	MaxStaleness         time.Duration // of Stale; 0: any age
	Aggregation          pb.Aggregation
	Every                time.Duration // of an Aggregation; 0: one row over the range
}

// At is a bound of a Query.
func At(t time.Time) *int64 { ns := t.UnixNano(); return &ns }

// message is the query as it travels. It shares no memory with q: it may still
// be on its way when its caller has gone.
func (q *Query) message() *pb.QueryRequest {
	return &pb.QueryRequest{
		Database: q.Database, Collection: q.Collection, Devices: slices.Clone(q.Devices), From: clone(q.From), To: clone(q.To),
		Fields: slices.Clone(q.Fields), Limit: uint64(q.Limit),
		Descending: q.Descending, Consistency: q.Consistency, MaxStalenessMs: uint32(q.MaxStaleness.Milliseconds()),
		Aggregation: q.Aggregation, EveryNs: int64(q.Every),
	}
}

// call is the query as it travels on a stream.
func (q *Query) call(ctx context.Context) *pb.QueryCall {
	return &pb.QueryCall{Query: q.message(), TimeoutMs: nodeTimeoutMs(ctx)}
}

func clone(at *int64) *int64 {
	if at == nil {
		return nil
	}
	ns := *at
	return &ns
}

// Query hands the rows to a function as they arrive: some rows of one device
// a call, the rows of a device in a row and in the order that was asked for.
// A query that fails before its first rows is repeated; one that returns nil
// is complete. An answer that is probably small comes as a whole, over the
// stream that all small reads of a connection share.
func (c *Client) Query(ctx context.Context, q Query, rows func(device string, c *Columns) error) error {
	r := rowTaker{rows: rows}
	whole := c.large.expectSmall(&q)
	learn := false
	if whole && !c.o.OnlyAddrs {
		answered, err := false, error(nil)
		if learn, answered, err = c.askLeader(ctx, &q, &r); answered {
			if !errors.Is(err, errTooLarge) {
				return r.outcome(err)
			}
			c.large.met(&q)
			whole = false
		}
	}
	return r.outcome(c.doRead(ctx, func(n *conn) error {
		if whole && !n.oldNode.Load() {
			m := q.call(ctx)
			m.Learn = learn
			answer, err := n.queryWhole(ctx, m, nil)
			switch {
			case err == nil:
				c.follow(answer.GetRoute())
				return r.takeAll(answer.GetRows())
			case errors.Is(err, errTooLarge):
				c.large.met(&q)
				whole = false
			case !errors.Is(err, errOldNode):
				return err
			}
		}
		return r.stream(ctx, n, q.message())
	}))
}

// outcome is what Query returns for the outcome of its attempts.
func (r *rowTaker) outcome(err error) error {
	if r.stopped != nil {
		return r.stopped
	}
	return err
}

// rowTaker hands the rows of one query out.
type rowTaker struct {
	rows    func(device string, c *Columns) error
	begun   bool  // what was handed out cannot be taken back: no repetition
	stopped error // of rows, or of a stream that broke after it had begun
}

// take hands rows out; an error means that they cannot be read.
func (r *rowTaker) take(m *pb.QueryReply) error {
	cols, err := pb.RowsOf(m)
	if err != nil {
		return api.E(api.IncompatiblePeer, "use an SDK of the node's version", "the answer cannot be read").Because(err)
	}
	r.begun = true
	r.stopped = r.rows(m.GetDevice(), cols)
	return nil
}

func (r *rowTaker) takeAll(answer []*pb.QueryReply) error {
	for _, m := range answer {
		if err := r.take(m); err != nil || r.stopped != nil {
			return err
		}
	}
	return nil
}

// stream is one attempt as a call of its own.
func (r *rowTaker) stream(ctx context.Context, n *conn, m *pb.QueryRequest) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := n.api.Query(ctx, m)
	if err != nil {
		return err
	}
	for r.stopped == nil {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && r.begun {
			r.stopped = errorOf(err, false)
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.take(m); err != nil {
			return err
		}
	}
	return nil
}

// Last reads the newest point of one device; ok is false where it has none.
func (c *Client) Last(ctx context.Context, s Series, consistency pb.Consistency) (p Point, ok bool, err error) {
	q := Query{Database: s.Database, Collection: s.Collection, Devices: []string{s.Device}, Limit: 1, Descending: true, Consistency: consistency}
	err = c.Query(ctx, q, func(_ string, cols *Columns) error {
		if !ok && cols.Len() > 0 {
			ok = true
			p = Point{Series: s, Time: cols.Times[0]}
			for name, v := range cols.Row(0) {
				p.Fields = append(p.Fields, Field{Name: name, Value: v})
			}
		}
		return nil
	})
	return p, ok, err
}

// Delete removes the points of a time range of some devices, of a collection
// (nil devices) or of a database (no collection). A list of devices that came out
// empty is refused: it does not mean all of them. It is repeated only if it was
// certainly not carried out.
func (c *Client) Delete(ctx context.Context, database, collection string, devices []string, from, to *int64) error {
	if devices != nil && len(devices) == 0 {
		return api.E(api.InvalidArgument, "name the devices, or give nil to mean all of them", "the list of devices is empty")
	}
	return c.do(ctx, true, func(ctx context.Context, n *conn) error {
		if err := n.connected(ctx); err != nil {
			return err
		}
		_, err := n.api.Delete(ctx, &pb.DeleteRequest{Database: database, Collection: collection, Devices: devices, From: from, To: to})
		return err
	})
}
