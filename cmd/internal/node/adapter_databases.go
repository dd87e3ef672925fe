package node

import (
	"context"
	"errors"
	"time"

	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// databasesAdapter changes the database table for the gateway.
type databasesAdapter struct{ dir *directory.Directory }

// CreateDatabase implements gateway.Databases.
func (a databasesAdapter) CreateDatabase(ctx context.Context, name string, retention time.Duration) (bool, error) {
	made, err := a.dir.CreateDatabase(ctx, name, retention)
	return made, directoryError(err)
}

// EnsureDatabase implements gateway.Databases.
func (a databasesAdapter) EnsureDatabase(ctx context.Context, name string) error {
	return directoryError(a.dir.EnsureDatabase(ctx, name))
}

// SetRetention implements gateway.Databases.
func (a databasesAdapter) SetRetention(ctx context.Context, name string, retention time.Duration) error {
	return directoryError(a.dir.SetRetention(ctx, name, retention))
}

// DropDatabase implements gateway.Databases.
func (a databasesAdapter) DropDatabase(ctx context.Context, name string) error {
	return directoryError(a.dir.DropDatabase(ctx, name))
}

// CreateCollection implements gateway.Collections.
func (a databasesAdapter) CreateCollection(ctx context.Context, database, name string) (bool, error) {
	made, err := a.dir.CreateCollection(ctx, database, name)
	return made, directoryError(err)
}

// DropCollection implements gateway.Collections.
func (a databasesAdapter) DropCollection(ctx context.Context, database, name string) error {
	return directoryError(a.dir.DropCollection(ctx, database, name))
}

// directoryError says in the gateway's terms what is known after a change of
// the meta group failed. What is not listed is of unknown outcome.
func directoryError(err error) error {
	if err == nil {
		return nil
	}
	for _, known := range []struct{ is, class error }{
		{directory.ErrUnknown, gateway.ErrUnknown},
		{directory.ErrExists, gateway.ErrExists},
		{directory.ErrNotFound, gateway.ErrMissing},
		{directory.ErrInvalid, gateway.ErrRefused},
		{directory.ErrNoLeader, gateway.ErrNotApplied},
		{directory.ErrNoNodes, gateway.ErrNotApplied},
	} {
		if errors.Is(err, known.is) {
			return classed{known.class, err}
		}
	}
	return classed{gateway.ErrUnknown, err}
}

// classed is an error that also is one of the gateway's, whose text it does
// not repeat.
type classed struct{ class, cause error }

func (e classed) Error() string   { return e.cause.Error() }
func (e classed) Unwrap() []error { return []error{e.class, e.cause} }
