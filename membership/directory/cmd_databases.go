package directory

import (
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

// Bounds of the database table. What names may look like is the edge's to
// check; here they are only bounded.
const (
	MaxDatabases   = 4096
	MaxCollections = 1024 // created by name, a database
	maxNameBytes   = 64
)

func checkName(what, name string) error {
	if name == "" || len(name) > maxNameBytes {
		return refuse(codeInvalid, "name of a %s: %q has not 1 to %d bytes", what, name, maxNameBytes)
	}
	return nil
}

// CreateDatabase makes a database; one that exists alike is left as it is.
type CreateDatabase struct {
	Name      string
	Retention time.Duration
	// IfAbsent leaves a database with another retention as it is.
	IfAbsent bool
	At       time.Time
}

// Kind implements Command.
func (CreateDatabase) Kind() Kind       { return KindCreateDatabase }
func (CreateDatabase) repeatable() bool { return true }

func (c CreateDatabase) stamped(now time.Time) Command {
	c.At = stamp(c.At, now)
	return c
}

func (c CreateDatabase) check() error {
	if c.Retention < 0 {
		return refuse(codeInvalid, "retention of database %q is negative", c.Name)
	}
	return checkName("database", c.Name)
}

func (c CreateDatabase) write(w *writer) {
	w.text(c.Name)
	w.int(int64(c.Retention))
	w.bool(c.IfAbsent)
	w.time(c.At)
}

func readCreateDatabase(r *reader) Command {
	return CreateDatabase{Name: r.text(), Retention: time.Duration(r.int()), IfAbsent: r.bool(), At: r.time()}
}

func (c CreateDatabase) apply(d *draft) error {
	old, exists := d.table.Databases[c.Name]
	switch {
	case exists && (c.IfAbsent || old.Retention == c.Retention):
		return nil
	case exists:
		return refuse(codeExists, "database %q has retention %v, not %v", c.Name, old.Retention, c.Retention)
	case len(d.table.Databases) >= MaxDatabases:
		return refuse(codeInvalid, "more than %d databases", MaxDatabases)
	}
	d.setDatabase(membership.Database{Name: c.Name, Retention: c.Retention, CreatedAt: c.At})
	return nil
}

// SetRetention changes how long a database keeps its points.
type SetRetention struct {
	Name      string
	Retention time.Duration
}

// Kind implements Command.
func (SetRetention) Kind() Kind                  { return KindSetRetention }
func (SetRetention) repeatable() bool            { return false }
func (c SetRetention) stamped(time.Time) Command { return c }

func (c SetRetention) check() error {
	if c.Retention < 0 {
		return refuse(codeInvalid, "retention of database %q is negative", c.Name)
	}
	return nil
}

func (c SetRetention) write(w *writer) {
	w.text(c.Name)
	w.int(int64(c.Retention))
}

func readSetRetention(r *reader) Command {
	return SetRetention{Name: r.text(), Retention: time.Duration(r.int())}
}

func (c SetRetention) apply(d *draft) error {
	db, ok := d.table.Databases[c.Name]
	if !ok {
		return refuse(codeNotFound, "database %q", c.Name)
	}
	if db.Retention != c.Retention {
		db.Retention = c.Retention
		d.setDatabase(db)
	}
	return nil
}

// DropDatabase removes the row. Points are deleted by the shards' own logs.
type DropDatabase struct{ Name string }

// Kind implements Command.
func (DropDatabase) Kind() Kind                  { return KindDropDatabase }
func (DropDatabase) repeatable() bool            { return false }
func (c DropDatabase) stamped(time.Time) Command { return c }
func (DropDatabase) check() error                { return nil }
func (c DropDatabase) write(w *writer)           { w.text(c.Name) }
func readDropDatabase(r *reader) Command         { return DropDatabase{Name: r.text()} }

func (c DropDatabase) apply(d *draft) error {
	if _, ok := d.table.Databases[c.Name]; !ok {
		return refuse(codeNotFound, "database %q", c.Name)
	}
	d.dropDatabase(c.Name)
	return nil
}

// CreateCollection makes a collection by name, so that it is listed before
// its first point.
type CreateCollection struct{ Database, Name string }

// Kind implements Command.
func (CreateCollection) Kind() Kind                  { return KindCreateCollection }
func (CreateCollection) repeatable() bool            { return true }
func (c CreateCollection) stamped(time.Time) Command { return c }
func (c CreateCollection) check() error              { return checkName("collection", c.Name) }

func (c CreateCollection) write(w *writer) {
	w.text(c.Database)
	w.text(c.Name)
}

func readCreateCollection(r *reader) Command {
	return CreateCollection{Database: r.text(), Name: r.text()}
}

func (c CreateCollection) apply(d *draft) error {
	db, ok := d.table.Databases[c.Database]
	if !ok {
		return refuse(codeNotFound, "database %q", c.Database)
	}
	at, exists := slices.BinarySearch(db.Collections, c.Name)
	if exists {
		return nil
	}
	if len(db.Collections) >= MaxCollections {
		return refuse(codeInvalid, "more than %d collections in database %q", MaxCollections, c.Database)
	}
	db.Collections = slices.Insert(slices.Clone(db.Collections), at, c.Name)
	d.setDatabase(db)
	return nil
}

// DropCollection removes a collection that was created by name.
type DropCollection struct{ Database, Name string }

// Kind implements Command.
func (DropCollection) Kind() Kind                  { return KindDropCollection }
func (DropCollection) repeatable() bool            { return false }
func (c DropCollection) stamped(time.Time) Command { return c }
func (DropCollection) check() error                { return nil }

func (c DropCollection) write(w *writer) {
	w.text(c.Database)
	w.text(c.Name)
}

func readDropCollection(r *reader) Command {
	return DropCollection{Database: r.text(), Name: r.text()}
}

func (c DropCollection) apply(d *draft) error {
	db, ok := d.table.Databases[c.Database]
	at, exists := slices.BinarySearch(db.Collections, c.Name)
	if !ok || !exists {
		return refuse(codeNotFound, "collection %q of database %q", c.Name, c.Database)
	}
	db.Collections = slices.Delete(slices.Clone(db.Collections), at, at+1)
	d.setDatabase(db)
	return nil
}
