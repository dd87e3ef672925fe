package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// readClass says what to do about a group that could not be read. The numbers
// are on the wire (GroupError.reason).
type readClass uint32

const (
	readNotLeader readClass = 1 + iota // ask the leader named
	readAgain                          // ask again, here or elsewhere
	readFinal                          // tell the client
)

// readError is why a group could not be read.
type readError struct {
	class  readClass
	leader string
	err    error
}

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// classifyRead makes a readError of whatever went wrong on a replica.
func classifyRead(err error) *readError {
	if e, ok := errors.AsType[*readError](err); ok {
		return e
	}
	if nl, ok := errors.AsType[*NotLeaderError](err); ok {
		return &readError{readNotLeader, nl.Leader, err}
	}
	if e, ok := errors.AsType[*api.Error](err); ok {
		class := readFinal
		if e.Code == api.Stale || e.Code == api.Unavailable {
			class = readAgain
		}
		return &readError{class, "", e}
	}
	return &readError{readAgain, "", err}
}

// admit makes the following reads of a replica as consistent as was asked.
func admit(ctx context.Context, r Reader, q *Query) error {
	switch q.Consistency {
	case pb.Consistency_LINEARIZABLE:
		return r.ReadBarrier(ctx)
	case pb.Consistency_LEADER:
		if !r.IsLeader() {
			return &NotLeaderError{}
		}
		return nil
	}
	if q.MaxStaleness > 0 && r.IsLeader() { // it may be deposed, and not know it yet
		if err := r.ReadBarrier(ctx); err == nil {
			return nil
		}
	}
	age, known := r.Contact()
	if q.MaxStaleness > 0 && (!known || age > q.MaxStaleness) {
		return api.E(api.Stale, "raise max_staleness, or read from the leader", "the replica last heard from a leader %s ago, allowed are %s", age, q.MaxStaleness)
	}
	return nil
}

// admission is leave to read what a replica held when it was asked. A replica that is closed and opened again, by a repair
// or a damaged file, may hold less for a while: what was let in is the former one, which answers no more.
type admission struct {
	data Data
	err  error
}

// admitOne admits one group.
func admitOne(ctx context.Context, r Reader, q *Query) admission {
	a := admission{data: r.Data()} // before it is known what it holds: see above
	a.err = admit(ctx, r, q)
	return a
}

// admitAll admits many groups at once: the checks of all of them travel in
// the same frames. The result has one admission a group.
func (g *Gateway) admitAll(ctx context.Context, groups []uint32, q *Query) []admission {
	all := make([]admission, len(groups))
	check := func(i int) {
		group, ok := g.cfg.Host.Group(groups[i])
		if !ok {
			all[i].err = &readError{readAgain, "", fmt.Errorf("node %s holds no replica of group %d", g.cfg.Self.Name, groups[i])}
			return
		}
		all[i] = admitOne(ctx, group, q)
	}
	asksPeers := q.Consistency == pb.Consistency_LINEARIZABLE || q.MaxStaleness > 0
	if len(groups) == 1 || !asksPeers {
		for i := range groups {
			check(i)
		}
		return all
	}
	var wg sync.WaitGroup // bounded by the number of groups
	for i := range groups {
		wg.Go(func() { check(i) })
	}
	wg.Wait()
	return all
}

// scanGroup reads what the query wants of the data of one group that was
// admitted. The rows are the taker's to keep and come in the query's order.
func scanGroup(ctx context.Context, data Data, id uint32, q *Query, totalGroups uint32, rows Rows) error {
	yield := func(s storage.Series, c *blocks.Columns) error {
		return rows(s.Device, cloneRows(c, q.Descending))
	}
	sq := storage.Query{Series: storage.Series{Database: q.Database, Collection: q.Collection},
		From: q.From, To: q.To, Fields: q.Fields, Descending: q.Descending, Limit: q.Limit}
	finish := func() error { return nil }
	if q.Aggregation != pb.Aggregation_NONE {
		a := &aggregator{q: q, yield: yield}
		sq.Limit, yield, finish = 0, a.add, a.finish
	}
	if len(q.Devices) == 0 {
		if err := data.Scan(ctx, sq, yield); err != nil {
			return err
		}
		return finish()
	}
	for _, device := range q.Devices {
		if storage.GroupOf(q.Database, q.Collection, device, totalGroups) != id {
			continue
		}
		sq.Device = device
		if err := data.Scan(ctx, sq, yield); err != nil {
			return err
		}
	}
	return finish()
}

// readHere reads groups of this node one after the other. done is told how
// each one ended; an error from rows or done ends the whole read.
func (g *Gateway) readHere(ctx context.Context, groups []uint32, q *Query, rows Rows, done func(group uint32, emitted bool, err error) error) error {
	total := g.cfg.Directory.Table().TotalGroups
	if total == 0 { // just started: the groups are open before the table is known
		return refuseAll(groups, done)
	}
	limited, cancel := context.WithTimeout(ctx, g.cfg.WriteTimeout)
	admitted := g.admitAll(limited, groups, q)
	cancel()
	for i, group := range groups {
		err := admitted[i].err
		emitted := false
		var taker error // of rows: not the replica's failure
		if err == nil {
			err = scanGroup(ctx, admitted[i].data, group, q, total, func(device string, c *blocks.Columns) error {
				emitted = true
				taker = rows(device, c)
				return taker
			})
		}
		if taker != nil {
			return taker
		}
		if errors.Is(err, storage.ErrDamaged) { // another replica answers
			g.readsElsewhere.Add(1)
		}
		if err := done(group, emitted, err); err != nil {
			return err
		}
	}
	return nil
}

// refuseAll ends every group of a read with "ask again".
func refuseAll(groups []uint32, done func(group uint32, emitted bool, err error) error) error {
	for _, group := range groups {
		err := &readError{readAgain, "", errNoTable}
		if err := done(group, false, err); err != nil {
			return err
		}
	}
	return nil
}

var errNoTable = errors.New("the node has just started and does not know the groups yet")
