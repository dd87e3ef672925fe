package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
)

// ParseRetention reads a retention: "" and "0" keep for ever, a number of
// days is written 90d, anything else is a duration of Go.
func ParseRetention(s string) (time.Duration, error) {
	if s == "" || s == "0" {
		return 0, nil
	}
	bad := func() error {
		return api.E(api.InvalidArgument, "90d, 12h, or empty for ever", "retention %q is no duration above 0", s)
	}
	if days, ok := cutDays(s); ok {
		if days <= 0 || days > 100_000 {
			return 0, bad()
		}
		return time.Duration(days) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, bad()
	}
	return d, nil
}

func cutDays(s string) (int, bool) {
	days, rest := 0, ""
	if n, err := fmt.Sscanf(s, "%d%s", &days, &rest); n != 2 || err != nil || rest != "d" {
		return 0, false
	}
	return days, true
}

// FormatRetention is the text of a retention in the API.
func FormatRetention(d time.Duration) string {
	if d == 0 {
		return ""
	}
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return d.String()
}

func databaseOf(d membership.Database) api.Database {
	return api.Database{Name: d.Name, Retention: FormatRetention(d.Retention), CreatedAt: api.At(d.CreatedAt)}
}

// ListDatabases gives all databases by name.
func (g *Gateway) ListDatabases(ctx context.Context) ([]api.Database, error) {
	if err := g.freshTable(ctx); err != nil {
		return nil, err
	}
	t := g.cfg.Directory.Table()
	out := make([]api.Database, 0, len(t.Databases))
	for _, name := range slices.Sorted(maps.Keys(t.Databases)) {
		out = append(out, databaseOf(t.Databases[name]))
	}
	return out, nil
}

// freshTable brings the local table up to what the meta leader knows, so that
// what was made through another node a moment ago is seen.
func (g *Gateway) freshTable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.WriteTimeout)
	defer cancel()
	if err := g.cfg.Directory.Barrier(ctx); err != nil {
		return api.E(api.Unavailable, "retry; see `flotilla nodes`", "the meta group does not answer").Because(err)
	}
	return nil
}

// GetDatabase finds one database.
func (g *Gateway) GetDatabase(ctx context.Context, name string) (api.Database, error) {
	if db, ok := g.cfg.Directory.Table().Databases[name]; ok {
		return databaseOf(db), nil
	}
	if err := g.freshTable(ctx); err != nil {
		return api.Database{}, err
	}
	db, ok := g.cfg.Directory.Table().Databases[name]
	if !ok {
		return api.Database{}, databaseNotFound(name, "see `flotilla databases list`")
	}
	return databaseOf(db), nil
}

// CreateDatabase makes a database; made is false if it exists alike.
func (g *Gateway) CreateDatabase(ctx context.Context, name, retention string) (db api.Database, made bool, err error) {
	keep, err := checkDatabase(name, retention)
	if err != nil {
		return api.Database{}, false, err
	}
	if db, err = g.GetDatabase(ctx, name); err == nil {
		if db.Retention != FormatRetention(keep) {
			return db, false, api.E(api.AlreadyExists, "change it with `flotilla database set`", "database %s exists with retention %q", name, db.Retention)
		}
		return db, false, nil
	}
	if api.CodeOf(err) != api.DatabaseNotFound {
		return db, false, err
	}
	db, err = g.putDatabase(ctx, membership.Database{Name: name, Retention: keep, CreatedAt: time.Now().UTC()})
	return db, err == nil, err
}

// SetDatabase changes the retention of a database.
func (g *Gateway) SetDatabase(ctx context.Context, name, retention string) (api.Database, error) {
	keep, err := checkDatabase(name, retention)
	if err != nil {
		return api.Database{}, err
	}
	if _, err := g.GetDatabase(ctx, name); err != nil {
		return api.Database{}, err
	}
	db := g.cfg.Directory.Table().Databases[name]
	db.Retention = keep
	return g.putDatabase(ctx, db)
}

func checkDatabase(name, retention string) (time.Duration, error) {
	if err := storage.ValidateDatabase(name); err != nil {
		return 0, invalid(err)
	}
	return ParseRetention(retention)
}

func (g *Gateway) putDatabase(ctx context.Context, db membership.Database) (api.Database, error) {
	ctx, cancel := context.WithTimeout(ctx, g.cfg.WriteTimeout)
	defer cancel()
	if err := g.cfg.Databases.PutDatabase(ctx, db); err != nil {
		return api.Database{}, metaError(err, "database %s was not changed", db.Name)
	}
	return databaseOf(db), nil
}

// metaError is an error of the meta group as the client sees it.
func metaError(err error, format string, args ...any) error {
	switch {
	case errors.Is(err, ErrRefused):
		return api.E(api.InvalidArgument, "", format, args...).Because(err)
	case errors.Is(err, ErrUnknown), errors.Is(err, ErrBroken):
		return api.E(api.OutcomeUnknown, "look whether it took effect", "the change may or may not take effect").Because(err)
	}
	return api.E(api.NoLeader, "retry; see `flotilla nodes`", format, args...).Because(err)
}

// DropDatabase deletes all points of a database in every group, then its row.
func (g *Gateway) DropDatabase(ctx context.Context, name string) error {
	if _, err := g.GetDatabase(ctx, name); err != nil {
		return err
	}
	if _, err := g.Delete(ctx, Delete{Database: name, From: storage.MinTime, To: storage.NoEnd}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.WriteTimeout)
	defer cancel()
	if err := g.cfg.Databases.DropDatabase(ctx, name); err != nil {
		return metaError(err, "the points of database %s are deleted, its row is not: repeat the drop", name)
	}
	return nil
}

// collectionsRequest and collectionsReply travel as JSON.
type collectionsRequest struct {
	Database string   `json:"database"`
	Groups   []uint32 `json:"groups"`
}

type collectionsReply struct {
	Collections []string `json:"collections"`
	Missed      []uint32 `json:"missed"` // groups that are not held or failed there
}

// ListCollections gives the collections of a database that have points. It
// asks one replica of each group, which may be a moment behind.
func (g *Gateway) ListCollections(ctx context.Context, database string) ([]api.Collection, error) {
	if _, err := g.GetDatabase(ctx, database); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.WriteTimeout)
	defer cancel()
	t := g.cfg.Directory.Table()
	names := map[string]struct{}{}
	open := slices.Sorted(maps.Keys(t.Assignments))
	var why error
	for attempt := 0; len(open) > 0; attempt++ {
		if attempt > 0 && !pause(ctx, backOff(attempt)) {
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

func (g *Gateway) serveCollections(_ context.Context, payload []byte) ([]byte, error) {
	var m collectionsRequest
	if err := json.Unmarshal(payload, &m); err != nil {
		return nil, fmt.Errorf("collections: %w", errPayload)
	}
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
