package directory

import (
	"context"
	"time"
)

// CreateDatabase makes a database and reports whether it is new. One that
// exists with another retention is refused (ErrExists).
func (d *Directory) CreateDatabase(ctx context.Context, name string, retention time.Duration) (created bool, err error) {
	_, created, err = d.apply(ctx, CreateDatabase{Name: name, Retention: retention})
	return created, err
}

// EnsureDatabase makes a database that keeps its points for ever, unless one
// of that name exists: what auto_create does at the first write.
func (d *Directory) EnsureDatabase(ctx context.Context, name string) error {
	if _, ok := d.Table().Databases[name]; ok {
		return nil
	}
	_, err := d.Apply(ctx, CreateDatabase{Name: name, IfAbsent: true})
	return err
}

// SetRetention changes how long a database keeps its points.
func (d *Directory) SetRetention(ctx context.Context, name string, retention time.Duration) error {
	_, err := d.Apply(ctx, SetRetention{Name: name, Retention: retention})
	return err
}

// DropDatabase removes a database's row; its points are the shards' matter.
func (d *Directory) DropDatabase(ctx context.Context, name string) error {
	_, err := d.Apply(ctx, DropDatabase{Name: name})
	return err
}

// CreateCollection makes a collection by name and reports whether it is new.
func (d *Directory) CreateCollection(ctx context.Context, database, name string) (created bool, err error) {
	_, created, err = d.apply(ctx, CreateCollection{Database: database, Name: name})
	return created, err
}

// DropCollection removes a collection that was created by name.
func (d *Directory) DropCollection(ctx context.Context, database, name string) error {
	_, err := d.Apply(ctx, DropCollection{Database: database, Name: name})
	return err
}

// SetSetting sets a cluster-wide setting; "" takes it back to its default.
func (d *Directory) SetSetting(ctx context.Context, key, value string) error {
	_, err := d.Apply(ctx, SetSetting{Key: key, Value: value})
	return err
}
