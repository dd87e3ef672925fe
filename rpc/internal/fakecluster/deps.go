package fakecluster

import (
	"context"
	"fmt"
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

// PutDatabase implements gateway.Databases.
func (n *Node) PutDatabase(_ context.Context, db membership.Database) error {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	if n.c.metaDown {
		return gateway.ErrNotApplied
	}
	t := n.c.copied()
	t.Databases[db.Name] = db
	n.c.table = t
	return nil
}

// DropDatabase implements gateway.Databases.
func (n *Node) DropDatabase(_ context.Context, name string) error {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	t := n.c.copied()
	delete(t.Databases, name)
	n.c.table = t
	return nil
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
