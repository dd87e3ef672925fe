package node

import (
	"context"
	"sync/atomic"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// directoryAdapter shows the meta group to the gateway.
type directoryAdapter struct {
	dir     *directory.Directory
	cluster string // gossip label
	last    atomic.Pointer[seenTable]
}

// seenTable is the gateway's form of a table, made once a table.
type seenTable struct {
	from   *directory.Table
	leader membership.ServerID
	table  *gateway.Table
}

// Table implements gateway.Directory.
func (a *directoryAdapter) Table() *gateway.Table {
	t := a.dir.Table()
	leader, _ := a.dir.Leader()
	if seen := a.last.Load(); seen != nil && seen.from == t && seen.leader == leader {
		return seen.table
	}
	table := &gateway.Table{
		Index: t.Index, ClusterID: t.ClusterID, ClusterName: a.cluster, TotalGroups: t.TotalGroups,
		MetaLeader: leader.Name, Nodes: t.Nodes, Assignments: t.Assignments, Databases: t.Databases,
	}
	a.last.Store(&seenTable{t, leader, table})
	return table
}

// EnsureGroups implements gateway.Directory.
func (a *directoryAdapter) EnsureGroups(ctx context.Context, groups []uint32) error {
	return a.dir.EnsureGroups(ctx, groups)
}

// Barrier implements gateway.Directory.
func (a *directoryAdapter) Barrier(ctx context.Context) error {
	_, err := a.dir.Confirm(ctx)
	return err
}
