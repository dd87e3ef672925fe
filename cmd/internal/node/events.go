package node

import (
	"context"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/raftmux"
)

// statePoll is the pause between two looks at the states of this node's replicas.
const statePoll = time.Second

// stateWatch makes events of the changes of this node's replicas.
type stateWatch struct {
	node *Node
	last map[uint32]raftgroup.ReplicaState // run's own
}

func (w *stateWatch) run(ctx context.Context) {
	every(ctx, statePoll, w.look)
}

// look notes each replica whose state is another than at the last look. One that
// is ready when it is seen first is no news.
func (w *stateWatch) look() {
	groups := w.node.hosts.groups()
	now := make(map[uint32]raftgroup.ReplicaState, len(groups))
	for _, g := range groups {
		id := g.ID()
		state, why := g.Condition()
		now[id] = state
		was, known := w.last[id]
		if state == was || !known && state == raftgroup.ReplicaReady {
			continue
		}
		if why != "" {
			why = ": " + why
		}
		w.node.gateway.Note(api.EventReplica, &id, "", "the replica is %s%s", state, why)
	}
	w.last = now
}

// noteLife makes an event of a node that went away or came back. Every node sees
// that by itself.
func (n *Node) noteLife(peer membership.NodeID, event raftmux.PeerEvent) {
	switch event {
	case raftmux.PeerDown:
		n.gateway.NoteHere(api.EventNode, nil, peer.Name, "node %s is down", peer.Name)
	case raftmux.PeerSilent:
		n.gateway.NoteHere(api.EventNode, nil, peer.Name, "node %s is silent", peer.Name)
	case raftmux.PeerBack:
		n.gateway.NoteHere(api.EventNode, nil, peer.Name, "node %s is back", peer.Name)
	}
}

// proving are the loops that keep proving that replicas are equal.
func (n *Node) proving() {
	n.stages.loop("events", n.gateway.TellEvents)
	n.stages.loop("replica states", (&stateWatch{node: n}).run)
	n.stages.loop("suspects", n.checks.Suspects.Run)
	n.stages.loop("checks", n.checks.Schedule.Run)
	n.stages.loop("scrub", n.checks.Scrub.Run)
}
