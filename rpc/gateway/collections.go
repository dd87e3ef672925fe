package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// collectionsRequest and collectionsReply travel as JSON.
type collectionsRequest struct {
	Database string   `json:"database"`
	Groups   []uint32 `json:"groups"`
}

type collectionsReply struct {
	Collections []string `json:"collections"`
	Missed      []uint32 `json:"missed"` // groups that are not held or failed there
}

// A collection exists by its points, or by a name that was created and not
// dropped (a row of the meta group).

// ListCollections gives the collections of a database. Those that exist by
// their points alone are told by one replica of each group, which may be a
// moment behind.
func (g *Gateway) ListCollections(ctx context.Context, database string) ([]api.Collection, error) {
	named, err := g.namedCollections(ctx, database)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.WriteTimeout)
	defer cancel()
	names := map[string]struct{}{}
	for _, name := range named {
		names[name] = struct{}{}
	}
	t := g.cfg.Directory.Table()
	open := slices.Sorted(maps.Keys(t.Assignments))
	var why error
	for attempt := 0; len(open) > 0; attempt++ {
		if attempt > 0 && pause.For(ctx, backOff(attempt)) != nil {
			return nil, api.E(api.Unavailable, "retry", "%d groups did not answer", len(open)).Because(why).InGroup(open[0])
		}
		open, why = g.askCollections(ctx, t, database, open, attempt, names)
	}
	out := make([]api.Collection, 0, len(names))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		out = append(out, api.Collection{Name: name})
	}
	return out, nil
}

// namedCollections gives the names that were created, as the meta leader
// knows them.
func (g *Gateway) namedCollections(ctx context.Context, database string) ([]string, error) {
	if err := g.freshTable(ctx); err != nil {
		return nil, err
	}
	db, ok := g.cfg.Directory.Table().Databases[database]
	if !ok {
		return nil, databaseNotFound(database, "see `flotilla databases list`")
	}
	return db.Collections, nil
}

// GetCollection finds one collection.
func (g *Gateway) GetCollection(ctx context.Context, database, name string) (api.Collection, error) {
	exists, err := g.hasCollection(ctx, database, name)
	if err == nil && !exists {
		err = collectionNotFound(database, name)
	}
	return api.Collection{Name: name}, err
}

func collectionNotFound(database, name string) *api.Error {
	return api.E(api.CollectionNotFound, "a collection is there from its first point on, or when it is created",
		"database %q has no collection %q", database, name)
}

// errFound ends a search.
var errFound = errors.New("found")

// hasCollection is exact: what no name tells, a linearizable read does.
func (g *Gateway) hasCollection(ctx context.Context, database, name string) (bool, error) {
	named, err := g.namedCollections(ctx, database)
	if err != nil || slices.Contains(named, name) {
		return err == nil, err
	}
	all := Query{Database: database, Collection: name, From: storage.MinTime, To: storage.NoEnd, Limit: 1}
	err = g.Query(ctx, all, func(string, *blocks.Columns) error { return errFound })
	if errors.Is(err, errFound) {
		return true, nil
	}
	return false, err
}

// CreateCollection makes a collection by name; made is false if it exists.
func (g *Gateway) CreateCollection(ctx context.Context, database, name string) (c api.Collection, made bool, err error) {
	if err := storage.ValidateCollection(name); err != nil {
		return c, false, invalid(err)
	}
	exists, err := g.hasCollection(ctx, database, name)
	if err != nil {
		return c, false, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.WriteTimeout)
	defer cancel()
	made, err = g.cfg.Collections.CreateCollection(ctx, database, name)
	if err != nil {
		return c, false, metaError(err, "collection %s of database %s was not created", name, database)
	}
	return api.Collection{Name: name}, made && !exists, nil
}

// DropCollection deletes all points of a collection in every group, then its
// name. What was not there is told only after that: nothing is left either way.
func (g *Gateway) DropCollection(ctx context.Context, database, name string) (groups int, err error) {
	exists, err := g.hasCollection(ctx, database, name)
	if err != nil {
		return 0, err
	}
	d := Delete{Database: database, Collection: name, From: storage.MinTime, To: storage.NoEnd}
	if groups, err = g.Delete(ctx, d); err != nil {
		return groups, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.WriteTimeout)
	defer cancel()
	err = g.cfg.Collections.DropCollection(ctx, database, name)
	switch {
	case err != nil && !errors.Is(err, ErrMissing):
		return groups, metaError(err, "the points of collection %s are deleted, its name is not: repeat the drop", name)
	case err != nil && !exists:
		return groups, collectionNotFound(database, name)
	}
	return groups, nil
}

// askCollections asks each node once for the groups that fall to it, and
// gives those that are still open.
func (g *Gateway) askCollections(ctx context.Context, t *Table, database string, groups []uint32, attempt int, names map[string]struct{}) (open []uint32, why error) {
	byNode := map[membership.NodeID][]uint32{}
	for _, group := range groups {
		if to, ok := g.route(t, group, attempt, ""); ok {
			byNode[to] = append(byNode[to], group)
		} else {
			open = append(open, group)
		}
	}
	for to, asked := range byNode {
		var reply collectionsReply
		if err := g.askJSON(ctx, to, MethodCollections, collectionsRequest{database, asked}, &reply); err != nil {
			open, why = append(open, asked...), err
			for _, group := range asked {
				g.hints.set(group, "")
			}
			continue
		}
		for _, name := range reply.Collections {
			names[name] = struct{}{}
		}
		open = append(open, reply.Missed...)
	}
	slices.Sort(open)
	return open, why
}

func (g *Gateway) serveCollections(_ context.Context, m collectionsRequest) ([]byte, error) {
	reply := collectionsReply{Collections: []string{}, Missed: []uint32{}}
	names := map[string]struct{}{}
	for _, id := range m.Groups {
		group, ok := g.cfg.Host.Group(id)
		if !ok {
			reply.Missed = append(reply.Missed, id)
			continue
		}
		found, err := group.Data().Collections(m.Database)
		if err != nil {
			reply.Missed = append(reply.Missed, id)
			continue
		}
		for _, name := range found {
			names[name] = struct{}{}
		}
	}
	reply.Collections = append(reply.Collections, slices.Sorted(maps.Keys(names))...)
	return json.Marshal(reply)
}
