package node

import (
	"context"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/raftgroup/reconcile"
)

// tableAssignments are the assignments of the table, for reconcile.
type tableAssignments struct{ dir *directory.Directory }

// Of implements reconcile.Assignments.
func (a tableAssignments) Of(group uint32) (reconcile.Assignment, bool) {
	table := a.dir.Table()
	row, ok := table.Assignments[group]
	if !ok {
		return reconcile.Assignment{}, false
	}
	assigned := reconcile.Assignment{Epoch: row.Epoch, Settled: row.State == membership.GroupActive}
	for _, name := range row.Nodes() {
		if n, known := table.Nodes[name]; known {
			assigned.Nodes = append(assigned.Nodes, n.NodeID)
		}
	}
	return assigned, len(assigned.Nodes) > 0
}

// Settle implements reconcile.Assignments.
func (a tableAssignments) Settle(ctx context.Context, group uint32, epoch uint64) error {
	return a.dir.Settle(ctx, group, epoch)
}
