package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
)

// callRows is up to how many rows a read is expected to fit a call.
const callRows = 8192

// Query reads and hands rows on as they come. It fails if any group that the
// query needs cannot be read: what was handed on then is not an answer.
func (g *Gateway) Query(ctx context.Context, q Query, rows Rows) error {
	_, err := g.query(ctx, q, collector{rows: rows})
	return err
}

// QueryWhole is Query for an answer of at most WholeAnswerBytes, which ends
// with ErrAnswerTooLarge as soon as it is seen not to be one: at once where the
// query does not look like it. room is asked before rows are kept, and ends the
// query in the same way with false.
func (g *Gateway) QueryWhole(ctx context.Context, q Query, room func(bytes int) bool, rows Rows) (Answered, error) {
	if !q.small() {
		return Answered{}, ErrAnswerTooLarge
	}
	if err := q.validate(); err != nil {
		return Answered{}, err
	}
	out := collector{rows: rows, room: room}
	if by, done, err := g.readOne(ctx, &q, &out); done {
		return by, err
	}
	return g.query(ctx, q, out)
}

func (g *Gateway) query(ctx context.Context, q Query, out collector) (Answered, error) {
	if err := q.validate(); err != nil {
		return Answered{}, err
	}
	targets, err := g.targets(ctx, &q)
	if err != nil {
		return Answered{}, err
	}
	out.q = &q
	r := &reading{g: g, q: &q, out: out, open: map[uint32]*target{}, total: g.cfg.Directory.Table().TotalGroups}
	for _, group := range targets {
		r.open[group] = &target{stream: !q.small()}
	}
	if err := r.run(ctx); err != nil {
		return Answered{}, err
	}
	if len(targets) != 1 {
		r.by = Answered{}
	}
	return r.by, r.out.finish()
}

// small reports whether the answer probably fits a call.
func (q *Query) small() bool {
	switch {
	case q.Aggregation != pb.Aggregation_NONE:
		return true
	case len(q.Devices) == 0:
		return false
	case q.Limit > 0:
		return q.Limit <= callRows/len(q.Devices)
	}
	return len(q.Devices) <= 4
}

// targets are the groups to read, ascending. Groups that do not exist hold
// nothing; a read that must be fresh asks the meta leader before it believes
// that one does not.
func (g *Gateway) targets(ctx context.Context, q *Query) ([]uint32, error) {
	t, err := g.knownTable(ctx)
	if err != nil {
		return nil, err
	}
	want := wanted(q, t)
	if q.Consistency != pb.Consistency_STALE || !t.hasDatabase(q.Database) {
		missing := !t.hasDatabase(q.Database)
		for group := range want {
			if _, ok := t.Assignments[group]; !ok {
				missing = true
				break
			}
		}
		if missing {
			ctx, cancel := context.WithTimeout(ctx, g.cfg.WriteTimeout)
			defer cancel()
			if err := g.cfg.Directory.Barrier(ctx); err != nil {
				return nil, api.E(api.Unavailable, "retry, or read with consistency stale", "the meta group does not answer").Because(err)
			}
			t = g.cfg.Directory.Table()
		}
	}
	if !t.hasDatabase(q.Database) {
		return nil, databaseNotFound(q.Database, "see `flotilla databases list`")
	}
	maps.DeleteFunc(want, func(group uint32, _ struct{}) bool { _, ok := t.Assignments[group]; return !ok })
	return slices.Sorted(maps.Keys(want)), nil
}

func wanted(q *Query, t *Table) map[uint32]struct{} {
	want := map[uint32]struct{}{}
	for _, device := range q.Devices {
		want[storage.GroupOf(q.Database, q.Collection, device, t.TotalGroups)] = struct{}{}
	}
	if len(q.Devices) == 0 {
		for group := range t.TotalGroups {
			want[group] = struct{}{}
		}
	}
	return want
}

// target is a group that is still to be read.
type target struct {
	stream bool   // its answer does not fit a call
	failed string // node of the last attempt
	err    error  // of the last attempt
}

// reading is one query on its way over its groups.
type reading struct {
	g    *Gateway
	q    *Query
	out  collector
	open map[uint32]*target
	by   Answered // the last group that a leader answered

	total uint32          // groups of the cluster
	last  mark            // the last row that was taken
	marks map[uint32]mark // of groups whose answer broke off after rows of it had gone out
}

// run tries until every group is read. The time limit is on going without
// progress, since a large answer takes as long as its reader wants.
func (r *reading) run(ctx context.Context) error {
	deadline := time.Now().Add(r.g.cfg.WriteTimeout)
	for attempt := 0; len(r.open) > 0; attempt++ {
		before := len(r.open)
		if err := r.attempt(ctx, attempt, deadline); err != nil {
			return err
		}
		if len(r.open) < before {
			deadline = time.Now().Add(r.g.cfg.WriteTimeout)
		}
		if len(r.open) == 0 {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil || attempt > 0 && pause.For(ctx, backOff(attempt)) != nil {
			return r.giveUp(ctx)
		}
	}
	return nil
}

func (r *reading) giveUp(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return api.E(api.Cancelled, "", "the caller went away")
	}
	group := slices.Min(slices.Collect(maps.Keys(r.open)))
	err := r.open[group].err
	if e, ok := errors.AsType[*api.Error](err); ok && e.Code == api.Stale {
		return e.InGroup(group)
	}
	return api.E(api.Unavailable, "retry; see `flotilla group ID`, or read with consistency stale",
		"%d groups could not be read in time", len(r.open)).Because(err).InGroup(group)
}

// attempt asks for every open group once: small answers of all peers at the
// same time as this node's own, then the large ones one peer after the other.
func (r *reading) attempt(ctx context.Context, attempt int, deadline time.Time) error {
	local, calls, streams := r.plan(attempt)
	callCtx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, c := range calls {
		if len(calls) == 1 && len(local) == 0 {
			r.g.readCall(callCtx, c, r.q)
			break
		}
		wg.Go(func() { r.g.readCall(callCtx, c, r.q) })
	}
	if len(local) > 0 {
		// The barrier is bounded by the deadline; the scan by its reader.
		if err := r.g.readHere(ctx, local, r.q, r.add, r.done); err != nil {
			return err
		}
	}
	wg.Wait()
	for _, c := range calls {
		if err := r.takeCall(c); err != nil {
			return err
		}
	}
	for _, s := range streams {
		if err := r.g.readStream(ctx, s, r.q, r.add, r.done); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) takeCall(c *remoteRead) error {
	groups := slices.Clone(c.groups)
	switch {
	case c.err != nil:
	case c.reply.GetTooLarge() && r.out.room != nil:
		return ErrAnswerTooLarge
	case c.reply.GetTooLarge():
		for _, group := range groups {
			r.open[group].stream = true
		}
		return nil
	default:
		if err := takeRows(c.reply, r.add); err != nil {
			return err
		}
		// A call answers whole groups: what failed gave no rows.
		emitted := false
		if err := c.settle(c.reply, &emitted, r.done); err != nil {
			return err
		}
		groups, c.err = c.groups, errPayload
	}
	for _, group := range groups {
		if err := r.done(group, false, c.err); err != nil {
			return err
		}
	}
	return nil
}

// plan says who is asked for which group.
func (r *reading) plan(attempt int) (local []uint32, calls, streams []*remoteRead) {
	t := r.g.cfg.Directory.Table()
	for _, group := range slices.Sorted(maps.Keys(r.open)) {
		at := r.open[group]
		to, ok := r.g.routeRead(t, group, attempt, at.failed, r.q.Consistency)
		if !ok {
			at.err = fmt.Errorf("group %d has no holder in this node's table", group)
			continue
		}
		at.failed = to.Name
		switch {
		case to == r.g.cfg.Self:
			local = append(local, group)
		case at.stream:
			streams = addRead(streams, to, group)
		default:
			calls = addRead(calls, to, group)
		}
	}
	return local, calls, streams
}

func addRead(rs []*remoteRead, to membership.NodeID, group uint32) []*remoteRead {
	for _, r := range rs {
		if r.to == to {
			r.groups = append(r.groups, group)
			return rs
		}
	}
	return append(rs, &remoteRead{to: to, groups: []uint32{group}})
}

// routeRead is route, but a stale read takes this node's replica first and
// then any other.
func (g *Gateway) routeRead(t *Table, group uint32, attempt int, failed string, c pb.Consistency) (membership.NodeID, bool) {
	if c != pb.Consistency_STALE {
		return g.route(t, group, attempt, failed)
	}
	if _, held := g.cfg.Host.Group(group); held && failed != g.cfg.Self.Name {
		return g.cfg.Self, true
	}
	return g.oneOf(t, t.Assignments[group].Nodes(), attempt, failed)
}

// ctxEnded reports whether a context that ended is behind an error.
func ctxEnded(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// done notes how the read of a group ended. One that failed is read again, from
// behind the rows that were handed on.
func (r *reading) done(group uint32, emitted bool, err error) error {
	at := r.open[group]
	if err == nil {
		if r.q.Consistency != pb.Consistency_STALE {
			r.g.hints.set(group, at.failed)
			r.by = Answered{Group: group, Node: at.failed}
		}
		delete(r.open, group)
		delete(r.marks, group)
		return nil
	}
	e := classifyRead(err)
	if emitted {
		r.broke(group)
	}
	if _, said := errors.AsType[*api.Error](at.err); !said || !ctxEnded(e.err) {
		at.err = e.err // a replica's own word counts for more than a deadline
	}
	switch {
	case e.class == readFinal:
		return api.AsError(e.err)
	case e.class == readNotLeader && e.leader != "" && e.leader != at.failed:
		r.g.hints.set(group, e.leader)
		at.failed = ""
	default:
		if r.g.hints.get(group) == at.failed {
			r.g.hints.set(group, "")
		}
	}
	return nil
}
