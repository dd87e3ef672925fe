package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/directory"
)

// neighbours follows the node table for as long as the node runs: a stream to
// each node that is in it, none to incarnations that were replaced, and the
// addresses of all where the next start finds them.
type neighbours struct {
	node      *Node
	connected map[membership.NodeID]bool
}

func (b *neighbours) run(ctx context.Context) {
	for {
		table := b.node.dir.Table()
		if table.Replaced(b.node.id) {
			b.node.fatal(b.node.explain(fmt.Errorf("node %s: %w", b.node.id, directory.ErrReplaced)))
			return
		}
		b.connect(table)
		b.remember(table)
		select {
		case <-ctx.Done():
			return
		case <-table.Changed():
		}
	}
}

func (b *neighbours) connect(table *directory.Table) {
	current := make(map[membership.NodeID]bool)
	for _, row := range table.Nodes {
		if row.NodeID != b.node.id {
			current[row.NodeID] = true
			b.node.mux.Connect(row.NodeID)
		}
	}
	for id := range b.connected {
		if !current[id] {
			b.node.mux.Forget(id)
		}
	}
	b.connected = current
}

// remember writes down where the others are. A table that knows nobody else,
// such as that of a node that has just started, takes nothing back.
func (b *neighbours) remember(table *directory.Table) {
	addrs := gossipAddrs(table, b.node.id)
	if len(addrs) == 0 || slices.Equal(addrs, b.node.identity.get().Peers) {
		return
	}
	if err := b.node.identity.update(func(id *Identity) { id.Peers = addrs }); err != nil {
		b.node.fatal(err)
	}
}

// gossipAddrs lists the gossip addresses of all nodes but one, sorted.
func gossipAddrs(table *directory.Table, self membership.NodeID) []string {
	var addrs []string
	for _, row := range table.Nodes {
		if row.NodeID != self && row.GossipAddr != "" {
			addrs = append(addrs, row.GossipAddr)
		}
	}
	slices.Sort(addrs)
	return addrs
}
