package gateway

import (
	"context"
	"time"

	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// readOne answers a read of one group that this node leads: the most frequent
// kind, done without what reads of many groups need. done is false where it did not come to an answer; nothing is
// handed on then, and the read goes the way of all others.
func (g *Gateway) readOne(ctx context.Context, q *Query, out *collector) (by Answered, done bool, err error) {
	t := g.cfg.Directory.Table()
	id, ok := oneGroup(q, t)
	if !ok {
		return Answered{}, false, nil
	}
	group, held := g.cfg.Host.Group(id)
	if !held || !group.IsLeader() {
		return Answered{}, false, nil
	}
	admitted, late := g.admitSoon(ctx, group, q)
	if late {
		gaveUp := reading{g: g, q: q, open: map[uint32]*target{id: {err: classifyRead(admitted.err).err}}}
		return Answered{}, true, gaveUp.giveUp(ctx)
	}
	if admitted.err != nil {
		return Answered{}, false, nil
	}
	out.q = q
	var taker error // of the collector: not the replica's failure
	err = scanGroup(ctx, admitted.data, id, q, t.TotalGroups, func(device string, c *blocks.Columns) error {
		taker = out.add(device, c)
		return taker
	})
	switch {
	case taker != nil:
		return Answered{}, true, taker
	case err != nil:
		out.drop()
		return Answered{}, false, nil
	}
	return Answered{Group: id, Node: g.cfg.Self.Name}, true, out.finish()
}

// oneGroup gives the one group that a leader's read of named devices needs,
// where the table shows that it exists.
func oneGroup(q *Query, t *Table) (id uint32, ok bool) {
	if q.Consistency == pb.Consistency_STALE || len(q.Devices) == 0 || t.TotalGroups == 0 || !t.hasDatabase(q.Database) {
		return 0, false
	}
	id = storage.GroupOf(q.Database, q.Collection, q.Devices[0], t.TotalGroups)
	for _, device := range q.Devices[1:] {
		if storage.GroupOf(q.Database, q.Collection, device, t.TotalGroups) != id {
			return 0, false
		}
	}
	_, ok = t.Assignments[id]
	return id, ok
}

// admitSoon is admitOne within the time that finding a leader may take; late says
// that it was over. A caller's own bound that is not longer does as well, and
// costs no timer.
func (g *Gateway) admitSoon(ctx context.Context, r Reader, q *Query) (a admission, late bool) {
	if deadline, bounded := ctx.Deadline(); !bounded || time.Until(deadline) > g.cfg.WriteTimeout {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, g.cfg.WriteTimeout)
		defer cancel()
	}
	a = admitOne(ctx, r, q)
	return a, a.err != nil && ctx.Err() != nil
}
