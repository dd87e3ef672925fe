package client

import (
	"context"
	"errors"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

// askLeader tries a read at the node that is believed to lead its group. Not
// answered, it is asked of any node as if nothing had been tried; learn says
// that the answer should then tell who leads.
func (c *Client) askLeader(ctx context.Context, q *Query, r *rowTaker) (learn, answered bool, err error) {
	group, known, ok := c.routes.routable(q)
	if !ok || !known {
		return ok, false, nil
	}
	m := c.routes.leader(group)
	if m == nil {
		return true, false, nil
	}
	n := m.pick()
	if n == nil {
		return false, false, nil // a forwarded answer tells it unasked
	}
	limit := routeLimit(ctx)
	patience := time.NewTimer(limit)
	defer patience.Stop()
	call := q.call(ctx)
	call.TimeoutMs = uint32(limit.Milliseconds()) // nobody waits any longer
	answer, err := n.queryWhole(ctx, call, patience.C)
	switch {
	case err == nil:
		c.follow(answer.GetRoute())
		if err = r.takeAll(answer.GetRows()); err != nil {
			err = errorOf(err, false)
		}
		return false, true, err
	case errors.Is(err, errTooLarge) || ctx.Err() != nil:
		return false, true, err
	case errors.Is(err, errSilent):
		m.rest(silentRest)
	case final(err):
		return false, true, err
	}
	c.routes.forget(group, m)
	return true, false, nil
}

// final reports whether an error is an answer that another node would give too.
func final(err error) bool {
	e, ok := errors.AsType[*api.Error](err)
	return ok && !e.Code.Retryable() && !e.Code.Unknown()
}

// routeLimit is how long to wait for the node that is believed to lead: half of
// the caller's time is for the others.
func routeLimit(ctx context.Context) time.Duration {
	limit := routePatience
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/2)
	}
	return max(limit, time.Millisecond)
}

// follow takes what an answer says of who leads.
func (c *Client) follow(route *pb.Route) {
	if route == nil || c.o.OnlyAddrs {
		return
	}
	if m := c.routes.learn(route); m != nil {
		c.reach(m)
	}
}
