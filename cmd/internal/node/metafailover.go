package node

import (
	"context"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

const (
	// metaRank is how long each voter waits for the one before it when nobody
	// leads the meta group.
	metaRank = 300 * time.Millisecond
	// metaLonely is how long a meta group that nobody leads is left to itself.
	metaLonely = 500 * time.Millisecond
	// metaPoll is how often the leader of the meta group is looked for.
	metaPoll = 100 * time.Millisecond
	// metaAgain is the pause between two campaigns of one node: longer than an
	// election takes.
	metaAgain = 3 * time.Second
)

// metaFailover replaces a dead leader of the meta group without waiting for its
// election timer: the voters that are up campaign in the order of their ids
// until one leads. Only a refused connection counts, which proves that the
// process is gone: for a silent one Raft's own timer decides.
func (n *Node) metaFailover(ctx context.Context, dead membership.NodeID) {
	leader, ok := n.dir.Leader()
	if !ok || leader.NodeID != dead {
		return
	}
	rank := n.metaPlace(dead)
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
	n.metaCampaign(ctx)
}

// metaPlace is this node's place among the voters of the meta group that are
// up, without one that is known to be dead; negative if it is no voter, or if
// those that are up could elect nobody.
func (n *Node) metaPlace(dead membership.NodeID) int {
	voters, err := n.dir.Voters()
	if err != nil {
		return -1
	}
	return placeAmong(voters, n.id, func(id membership.NodeID) bool { return id != dead && n.liveness.Up(id) })
}

// placeAmong is the place of one voter among those that are up, by id; negative
// if it is none of them, or if they are no quorum.
func placeAmong(voters []membership.NodeID, self membership.NodeID, up func(membership.NodeID) bool) int {
	var able []membership.NodeID
	for _, id := range voters {
		if up(id) {
			able = append(able, id)
		}
	}
	if len(able) < len(voters)/2+1 {
		return -1
	}
	slices.SortFunc(able, membership.NodeID.Compare)
	return slices.Index(able, self)
}

func (n *Node) metaCampaign(ctx context.Context) {
	if err := n.dir.Campaign(ctx); err != nil && ctx.Err() == nil {
		n.log.Debug("meta group: campaign not started", "err", err)
	}
}

// metaElection gives the meta group a leader when it has none, as after a start
// of the whole cluster: its election timer is made for a busy machine.
type metaElection struct{ node *Node }

func (e *metaElection) run(ctx context.Context) {
	tick := time.NewTicker(metaPoll)
	defer tick.Stop()
	var lonely, tried time.Time // since when nobody leads; the last campaign
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if _, led := e.node.dir.Leader(); led {
				lonely = time.Time{}
				continue
			}
			place := e.node.metaPlace(membership.NodeID{})
			if lonely.IsZero() || place < 0 {
				lonely = now // a quorum has to be there for all of the time
			}
			if place >= 0 && now.Sub(lonely) >= metaLonely+time.Duration(place)*metaRank && now.Sub(tried) >= metaAgain {
				tried = now
				e.node.metaCampaign(ctx)
			}
		}
	}
}
