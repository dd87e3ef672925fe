package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
)

// Stamp is the time given to one point of a batch that had none.
type Stamp struct {
	Index int   // in the batch
	Time  int64 // ns
}

// Written is the result of a write. Stamps are valid even when the write
// failed: whoever repeats an unknown write does it with them.
type Written struct {
	Points int
	Stamps []Stamp
}

// Write commits a batch: all of it, or an error that says what is known. It
// stamps points whose Time is api.NoTime, in place. The timeout bounds the
// write with its retries; 0 or anything above the node's own means that one.
func (g *Gateway) Write(ctx context.Context, points []storage.Point, timeout time.Duration) (Written, error) {
	if timeout <= 0 || timeout > g.cfg.WriteTimeout {
		timeout = g.cfg.WriteTimeout
	}
	deadline := time.Now().Add(timeout)
	if err := checkPoints(points, g.cfg.Limits); err != nil {
		return Written{}, err
	}
	if len(points) == 0 {
		return Written{}, nil
	}
	t, err := g.ensureDatabases(ctx, points, deadline)
	if err != nil {
		return Written{}, err
	}
	stamps, err := g.stamp(points)
	if err != nil {
		return Written{}, err
	}
	rounds := split(points, t.TotalGroups, g.cfg.Limits.ProposalBytes)
	if err := g.ensureGroups(ctx, t, rounds[0], deadline); err != nil {
		return Written{Stamps: stamps}, err
	}
	if err := g.deliver(ctx, rounds, deadline); err != nil {
		return Written{Stamps: stamps}, err
	}
	return Written{Points: len(points), Stamps: stamps}, nil
}

// ensureDatabases makes the databases of the points that do not exist, where
// that is allowed, and gives the table in which all of them do. Where it is not
// allowed, the collections must exist too.
func (g *Gateway) ensureDatabases(ctx context.Context, points []storage.Point, deadline time.Time) (*Table, error) {
	t, create := g.cfg.Directory.Table(), g.cfg.AutoCreate()
	database, collection := "", ""
	for i := range points {
		p := &points[i]
		if p.Database == database && (create || p.Collection == collection) {
			continue
		}
		database, collection = p.Database, p.Collection
		if !t.hasDatabase(database) {
			if err := g.autoCreate(ctx, database, create, deadline); err != nil {
				return nil, err
			}
			t = g.cfg.Directory.Table()
		}
		if !create && !slices.Contains(t.Databases[database].Collections, collection) {
			if err := g.mustHaveCollection(ctx, database, collection, deadline); err != nil {
				return nil, err
			}
			t = g.cfg.Directory.Table()
		}
	}
	return t, nil
}

func (g *Gateway) autoCreate(ctx context.Context, name string, create bool, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	// The local table may be behind: ask before anything is refused or made.
	if err := g.cfg.Directory.Barrier(ctx); err != nil {
		return api.E(api.NoLeader, "retry", "the meta group does not answer, nothing was applied").Because(err)
	}
	if g.cfg.Directory.Table().hasDatabase(name) {
		return nil
	}
	if !create {
		return databaseNotFound(name, "create it with `flotilla database create`, or set auto_create")
	}
	if err := g.cfg.Databases.EnsureDatabase(ctx, name); err != nil {
		return api.E(api.NoLeader, "retry", "database %s could not be created, no point was written", name).Because(err)
	}
	return nil
}

// mustHaveCollection refuses a write to a collection that nobody has made. One
// that exists by its points gets its name, so that the next write need not look.
func (g *Gateway) mustHaveCollection(ctx context.Context, database, name string, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	exists, err := g.hasCollection(ctx, database, name)
	if err == nil && !exists {
		e := collectionNotFound(database, name)
		e.Hint = fmt.Sprintf("POST /v1/databases/%s/collections makes it, or set auto_create", database)
		err = e
	}
	if err != nil {
		return err
	}
	if _, err := g.cfg.Collections.CreateCollection(ctx, database, name); err != nil {
		g.logger.Debug("a collection got no name", "database", database, "collection", name, "error", err)
	}
	return nil
}

func (t *Table) hasDatabase(name string) bool {
	_, ok := t.Databases[name]
	return ok
}

func databaseNotFound(name, hint string) *api.Error {
	return api.E(api.DatabaseNotFound, hint, "database %q does not exist", name)
}

// ensureGroups waits until the parts' groups are assigned.
func (g *Gateway) ensureGroups(ctx context.Context, t *Table, parts []*part, deadline time.Time) error {
	var missing []uint32
	for _, p := range parts {
		if _, ok := t.Assignments[p.group]; !ok {
			missing = append(missing, p.group)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	for attempt := 0; ; attempt++ {
		err := g.cfg.Directory.EnsureGroups(ctx, missing)
		if err == nil {
			return nil
		}
		if pause.For(ctx, backOff(attempt)) != nil {
			return api.E(api.NoLeader, "retry; see `flotilla nodes`",
				"%d groups could not be assigned to nodes in time, nothing was applied", len(missing)).Because(err)
		}
	}
}

// stamp gives a time to each point that has none. Stamps of a node rise
// strictly, so that two points of one device never fall on one time.
func (g *Gateway) stamp(points []storage.Point) ([]Stamp, error) {
	var stamps []Stamp
	for i := range points {
		if points[i].Time != api.NoTime {
			continue
		}
		if stamps == nil {
			now, err := g.cfg.Now()
			if err != nil {
				return nil, api.E(api.ClockOff, "correct the node's clock, write through another node, or give timestamps",
					"a point has no timestamp, and this node gives none; nothing was written").Because(err)
			}
			g.raiseStamp(now.UnixNano() - 1)
		}
		points[i].Time = g.lastStamp.Add(1)
		stamps = append(stamps, Stamp{Index: i, Time: points[i].Time})
	}
	return stamps, nil
}

// maxStampAhead is how far stamps may run ahead of the clock for the sake of
// rising: a clock that was wrong and is right again is believed.
const maxStampAhead = time.Second

func (g *Gateway) raiseStamp(to int64) {
	for {
		last := g.lastStamp.Load()
		if last >= to && last-to <= int64(maxStampAhead) || g.lastStamp.CompareAndSwap(last, to) {
			return
		}
	}
}

// maxProposalPoint is what one point may take of a proposal: it cannot be
// split, so a larger one could never be committed.
func maxProposalPoint(l storage.Limits) int { return l.ProposalBytes }

// checkPoints validates the whole batch before anything of it is done.
func checkPoints(points []storage.Point, l storage.Limits) error {
	size := 0
	var bad []api.PointError
	count := 0
	for i := range points {
		p := &points[i]
		n := storage.PutBytes(p)
		size += n
		err := storage.ValidatePoint(p, l)
		if err == nil {
			err = checkShape(p, n, l)
		}
		if err == nil {
			continue
		}
		if count++; len(bad) < api.MaxPointErrors {
			bad = append(bad, api.PointError{Index: i, ID: p.Device, Reason: err.Error()})
		}
	}
	if count > 0 {
		e := api.E(api.InvalidPoints, "correct or leave out the points that are listed", "%d of %d points are invalid, nothing was written; the first: %s",
			count, len(points), bad[0].Reason)
		e.Points = bad
		return e
	}
	if err := storage.ValidateBatch(len(points), size, l); err != nil {
		return tooLarge(err)
	}
	return nil
}

// checkShape refuses what storage takes for granted: each field once, and a
// point that fits a proposal.
func checkShape(p *storage.Point, bytes int, l storage.Limits) error {
	for i := 1; i < len(p.Fields); i++ {
		for j := range i {
			if p.Fields[i].Name == p.Fields[j].Name {
				return &storage.InvalidError{What: "field", Value: p.Fields[i].Name, Reason: "is given twice", Hint: "each field once a point"}
			}
		}
	}
	if bytes > maxProposalPoint(l) {
		return &storage.InvalidError{What: "point", Reason: "is too large for one proposal", Hint: "spread its fields over several writes with the same timestamp"}
	}
	return nil
}

func tooLarge(err error) *api.Error {
	if e, ok := errors.AsType[*storage.InvalidError](err); ok {
		return api.E(api.TooLarge, e.Hint, "%s %s", e.What, e.Reason)
	}
	return api.E(api.TooLarge, "send several", "%v", err)
}

// invalid turns a refused name into the client's error.
func invalid(err error) *api.Error {
	if e, ok := errors.AsType[*storage.InvalidError](err); ok {
		return api.E(api.InvalidArgument, e.Hint, "%s %q %s", e.What, e.Value, e.Reason)
	}
	return api.E(api.InvalidArgument, "", "%v", err)
}
