package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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

// keptFor says a retention in words.
func keptFor(d time.Duration) string {
	if d == 0 {
		return "keeps its points for ever"
	}
	return "keeps its points for " + FormatRetention(d)
}

// FormatRetention is the text of a retention in the API.
func FormatRetention(d time.Duration) string {
	if d == 0 {
		return ""
	}
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	text := d.String() // 1h30m0s
	if cut, ok := strings.CutSuffix(text, "m0s"); ok {
		text = cut + "m"
	}
	if cut, ok := strings.CutSuffix(text, "h0m"); ok {
		text = cut + "h"
	}
	return text
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
	ctx, cancel := context.WithTimeout(ctx, g.cfg.WriteTimeout)
	defer cancel()
	made, err = g.cfg.Databases.CreateDatabase(ctx, name, keep)
	stored, ok := g.cfg.Directory.Table().Databases[name]
	switch {
	case errors.Is(err, ErrExists):
		return api.Database{}, false, api.E(api.AlreadyExists, "change it with `flotilla database set`",
			"database %s exists, and %s", name, keptFor(stored.Retention))
	case err != nil:
		return api.Database{}, false, metaError(err, "database %s was not created", name)
	case !ok: // dropped again meanwhile
		stored = membership.Database{Name: name, Retention: keep}
	}
	return databaseOf(stored), made, nil
}

// SetDatabase changes the retention of a database.
func (g *Gateway) SetDatabase(ctx context.Context, name, retention string) (api.Database, error) {
	keep, err := checkDatabase(name, retention)
	if err != nil {
		return api.Database{}, err
	}
	db, err := g.GetDatabase(ctx, name)
	if err != nil {
		return api.Database{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.cfg.WriteTimeout)
	defer cancel()
	if err := g.cfg.Databases.SetRetention(ctx, name, keep); err != nil {
		return api.Database{}, metaError(err, "database %s was not changed", name)
	}
	db.Retention = FormatRetention(keep)
	return db, nil
}

func checkDatabase(name, retention string) (time.Duration, error) {
	if err := storage.ValidateDatabase(name); err != nil {
		return 0, invalid(err)
	}
	return ParseRetention(retention)
}

// metaError is an error of the meta group as the client sees it.
func metaError(err error, format string, args ...any) error {
	switch {
	case errors.Is(err, ErrMissing):
		return api.E(api.DatabaseNotFound, "see `flotilla databases list`", format, args...).Because(err)
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
