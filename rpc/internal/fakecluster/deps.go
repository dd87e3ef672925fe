package fakecluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// A Node is every dependency of its gateway.

// Table implements gateway.Directory.
func (n *Node) Table() *gateway.Table {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	return n.c.table
}

// EnsureGroups implements gateway.Directory.
func (n *Node) EnsureGroups(_ context.Context, groups []uint32) error {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	if n.c.metaDown {
		return gateway.ErrNotApplied
	}
	n.c.table = n.c.copied()
	for _, group := range groups {
		if _, ok := n.c.table.Assignments[group]; !ok {
			n.c.birth(group)
			n.c.born = append(n.c.born, group)
		}
	}
	return nil
}

// Barrier implements gateway.Directory.
func (n *Node) Barrier(context.Context) error {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	if n.c.metaDown {
		return fmt.Errorf("meta group: %w", gateway.ErrNotApplied)
	}
	return nil
}

// change edits a row of the database table, or makes it; nil takes it away.
func (n *Node) change(name string, edit func(db membership.Database, exists bool) (*membership.Database, error)) error {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	if n.c.metaDown {
		return gateway.ErrNotApplied
	}
	db, exists := n.c.table.Databases[name]
	row, err := edit(db, exists)
	if err != nil {
		return err
	}
	t := n.c.copied()
	if delete(t.Databases, name); row != nil {
		t.Databases[name] = *row
	}
	n.c.table = t
	return nil
}

// CreateDatabase implements gateway.Databases.
func (n *Node) CreateDatabase(_ context.Context, name string, retention time.Duration) (made bool, err error) {
	err = n.change(name, func(db membership.Database, exists bool) (*membership.Database, error) {
		switch made = !exists; {
		case made:
			db = membership.Database{Name: name, Retention: retention, CreatedAt: time.Unix(2, 0)}
		case db.Retention != retention:
			return nil, gateway.ErrExists
		}
		return &db, nil
	})
	return made, err
}

// EnsureDatabase implements gateway.Databases.
func (n *Node) EnsureDatabase(ctx context.Context, name string) error {
	if _, err := n.CreateDatabase(ctx, name, 0); !errors.Is(err, gateway.ErrExists) {
		return err
	}
	return nil
}

// changeExisting is change for a row that must be there.
func (n *Node) changeExisting(name string, edit func(db membership.Database) (*membership.Database, error)) error {
	return n.change(name, func(db membership.Database, exists bool) (*membership.Database, error) {
		if !exists {
			return nil, gateway.ErrMissing
		}
		return edit(db)
	})
}

// SetRetention implements gateway.Databases.
func (n *Node) SetRetention(_ context.Context, name string, retention time.Duration) error {
	return n.changeExisting(name, func(db membership.Database) (*membership.Database, error) {
		db.Retention = retention
		return &db, nil
	})
}

// DropDatabase implements gateway.Databases.
func (n *Node) DropDatabase(_ context.Context, name string) error {
	return n.changeExisting(name, func(membership.Database) (*membership.Database, error) { return nil, nil })
}

// CreateCollection implements gateway.Collections.
func (n *Node) CreateCollection(_ context.Context, database, name string) (made bool, err error) {
	err = n.changeExisting(database, func(db membership.Database) (*membership.Database, error) {
		if made = !slices.Contains(db.Collections, name); made {
			db.Collections = append(slices.Clone(db.Collections), name)
		}
		return &db, nil
	})
	return made, err
}

// DropCollection implements gateway.Collections.
func (n *Node) DropCollection(_ context.Context, database, name string) error {
	return n.changeExisting(database, func(db membership.Database) (*membership.Database, error) {
		i := slices.Index(db.Collections, name)
		if i < 0 {
			return nil, gateway.ErrMissing
		}
		db.Collections = slices.Delete(slices.Clone(db.Collections), i, i+1)
		return &db, nil
	})
}

// Seen implements gateway.Liveness.
func (n *Node) Seen(id membership.NodeID) (membership.NodeState, time.Duration) {
	if n.c.isDown(id.Name) {
		return membership.NodeDown, 3 * time.Second
	}
	return membership.NodeUp, 10 * time.Millisecond
}

// Group implements gateway.Host.
func (n *Node) Group(id uint32) (gateway.Group, bool) {
	l := n.c.log(id)
	if l == nil || l.shard(n.Name) == nil {
		return nil, false
	}
	return replica{n, l}, true
}

// Groups implements gateway.Host.
func (n *Node) Groups() []uint32 {
	var out []uint32
	for id := range uint32(TotalGroups) {
		if _, ok := n.Group(id); ok {
			out = append(out, id)
		}
	}
	return out
}

// DiskFree implements gateway.Host.
func (n *Node) DiskFree() int64 { return 1 << 30 }

// Call implements gateway.Peers.
func (n *Node) Call(ctx context.Context, to membership.NodeID, method gateway.Method, payload []byte) ([]byte, error) {
	n.c.mu.Lock()
	fail := n.c.onCall
	n.c.mu.Unlock()
	var after error
	if fail != nil {
		var before error
		if before, after = fail(n.Name, to.Name, method); before != nil {
			return nil, before
		}
	}
	peer := n.peer(to.Name)
	if peer == nil || n.c.isDown(to.Name) || n.c.isDown(n.Name) {
		return nil, fmt.Errorf("dial %s: %w", to.Name, gateway.ErrUnreachable)
	}
	answer, err := peer.Gateway.Serve(ctx, n.id, method, payload)
	if after != nil {
		return nil, after
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", gateway.ErrBroken, ctx.Err())
	}
	if err != nil { // only its text travels
		return nil, fmt.Errorf("peer answered: %s", err.Error())
	}
	return answer, nil
}

// Conn implements gateway.Peers.
func (n *Node) Conn(_ context.Context, to membership.NodeID) (*grpc.ClientConn, error) {
	if n.c.isDown(to.Name) {
		return nil, gateway.ErrUnreachable
	}
	return n.conn(n.peer(to.Name))
}

func (n *Node) peer(name string) *Node {
	for _, p := range n.c.Nodes {
		if p.Name == name {
			return p
		}
	}
	return nil
}
