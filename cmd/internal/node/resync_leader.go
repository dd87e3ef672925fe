package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/raftmux"
)

// errNoLeaderKnown: nobody who was asked knows who leads the group.
var errNoLeaderKnown = errors.New("no leader of the group is known")

// whoLimit bounds the question who leads a group.
const whoLimit = time.Second

// groupCaller asks the leaders of groups, for those replicas too that hear none.
type groupCaller struct{ node *Node }

// Call implements resync.Caller.
func (c groupCaller) Call(ctx context.Context, group uint32, request []byte) ([]byte, membership.NodeID, error) {
	return c.ask(ctx, group, methodResync, request)
}

// ask sends a request to whoever leads the group.
func (c groupCaller) ask(ctx context.Context, group uint32, method raftmux.Method, request []byte) ([]byte, membership.NodeID, error) {
	leader, err := c.leader(ctx, group)
	if err != nil {
		return nil, leader, err
	}
	answer, err := c.node.mux.Call(ctx, leader, method, request)
	return answer, leader, err
}

// leader is the node that leads, as this replica has heard, or as the other
// holders have.
func (c groupCaller) leader(ctx context.Context, group uint32) (membership.NodeID, error) {
	if id, ok := c.heard(group); ok {
		return id, nil
	}
	for _, holder := range c.holders(group) {
		if holder == c.node.id || holder.Name == "" || !c.node.liveness.Up(holder) {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, whoLimit)
		answer, err := c.node.mux.Call(limited, holder, methodWho, encodeGroup(group))
		cancel()
		if err != nil || len(answer) == 0 {
			continue
		}
		if id, err := membership.ParseNodeID(string(answer)); err == nil {
			return id, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return membership.NodeID{}, err
	}
	return membership.NodeID{}, fmt.Errorf("group %d: %w", group, errNoLeaderKnown)
}

// holders are the nodes that may know: those that the group is assigned to, then
// all others, since it may be led by one that is to give it up.
func (c groupCaller) holders(group uint32) []membership.NodeID {
	table := c.node.dir.Table()
	assigned := table.Assignments[group]
	var first, others []membership.NodeID
	for _, name := range slices.Sorted(maps.Keys(table.Nodes)) {
		if id := table.Nodes[name].NodeID; assigned.Holds(name) {
			first = append(first, id)
		} else {
			others = append(others, id)
		}
	}
	return append(first, others...)
}

// heard is the leader that this node's own replica hears.
func (c groupCaller) heard(group uint32) (membership.NodeID, bool) {
	host := c.node.hosts.host.Load()
	if host == nil {
		return membership.NodeID{}, false
	}
	g, ok := host.Group(group)
	if !ok {
		return membership.NodeID{}, false
	}
	leader, ok := g.Leader()
	return leader.NodeID, ok
}

// answerWho says whom this node's replica holds for the leader; nothing if it
// hears none.
func (c groupCaller) answerWho(_ context.Context, _ membership.NodeID, request []byte) ([]byte, error) {
	group, err := decodeGroup(request)
	if err != nil {
		return nil, err
	}
	if leader, ok := c.heard(group); ok {
		return []byte(leader.String()), nil
	}
	return nil, nil
}
