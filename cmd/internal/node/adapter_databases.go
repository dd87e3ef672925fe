package node

import (
	"context"
	"errors"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/directory"
)

// databasesAdapter changes the database table for the gateway.
type databasesAdapter struct{ dir *directory.Directory }

// PutDatabase implements gateway.Databases. A database without a retention that
// another client has made meanwhile keeps the one that it got.
func (a databasesAdapter) PutDatabase(ctx context.Context, db membership.Database) error {
	if _, exists := a.dir.Table().Databases[db.Name]; exists {
		return a.dir.SetRetention(ctx, db.Name, db.Retention)
	}
	_, err := a.dir.CreateDatabase(ctx, db.Name, db.Retention)
	if !errors.Is(err, directory.ErrExists) {
		return err
	}
	if db.Retention == 0 {
		return nil
	}
	return a.dir.SetRetention(ctx, db.Name, db.Retention)
}

// DropDatabase implements gateway.Databases.
func (a databasesAdapter) DropDatabase(ctx context.Context, name string) error {
	return a.dir.DropDatabase(ctx, name)
}
