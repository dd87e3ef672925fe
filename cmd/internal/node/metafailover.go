package node

import (
	"context"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

// metaRank is how long each node waits for the one before it when the process
// that led the meta group is dead.
const metaRank = 300 * time.Millisecond

// metaFailover replaces a dead leader of the meta group without waiting for its
// election timer: the nodes that are up campaign in the order of their ids
// until one leads. Only a refused connection counts, which proves that the
// process is gone: for a silent one Raft's own timer decides.
func (n *Node) metaFailover(ctx context.Context, dead membership.NodeID) {
	leader, ok := n.dir.Leader()
	if !ok || leader.NodeID != dead {
		return
	}
	var up []membership.NodeID
	for _, row := range n.dir.Table().Nodes {
		if row.NodeID != dead && n.liveness.Up(row.NodeID) {
			up = append(up, row.NodeID)
		}
	}
	slices.SortFunc(up, membership.NodeID.Compare)
	rank := slices.Index(up, n.id)
	if rank < 0 {
		return
	}
	timer := time.NewTimer(time.Duration(rank) * metaRank)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
	}
	if now, known := n.dir.Leader(); known && now != leader {
		return
	}
	if err := n.dir.Campaign(ctx); err != nil && ctx.Err() == nil {
		n.log.Debug("meta group: campaign not started", "err", err)
	}
}
