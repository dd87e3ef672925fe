package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/raftmux"
)

// errNoLeaderKnown: nobody who was asked knows who leads the group.
var errNoLeaderKnown = errors.New("no leader of the group is known")

// whoLimit bounds the question who leads a group.
const whoLimit = time.Second

// groupCaller asks the leaders of groups, for those replicas too that hear none.
// A replica that is held, or not in its group yet, does not know who leads: the
// node that others named is asked until it does not answer, or says that it
// leads no more.
type groupCaller struct {
	node  *Node
	named *leadersNamed // nil: nothing is remembered
}

// leadersNamed remembers who leads groups whose leader is not heard here: as
// many as there are groups at most.
type leadersNamed struct {
	mu sync.Mutex
	of map[uint32]membership.NodeID // guarded by mu
}

func newLeadersNamed() *leadersNamed {
	return &leadersNamed{of: make(map[uint32]membership.NodeID)}
}

func (l *leadersNamed) get(group uint32) (membership.NodeID, bool) {
	if l == nil {
		return membership.NodeID{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	id, ok := l.of[group]
	return id, ok
}

func (l *leadersNamed) set(group uint32, id membership.NodeID) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of[group] = id
}

// forget forgets a node that does not lead; false if it was not remembered.
func (l *leadersNamed) forget(group uint32, id membership.NodeID) bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if known, ok := l.of[group]; !ok || known != id {
		return false
	}
	delete(l.of, group)
	return true
}

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
	if err == nil || !c.named.forget(group, leader) || method == methodResync || ctx.Err() != nil {
		return answer, leader, err
	}
	// Whoever was remembered does not lead: only a job's own calls may not be made twice.
	if leader, err = c.leader(ctx, group); err != nil {
		return nil, leader, err
	}
	answer, err = c.node.mux.Call(ctx, leader, method, request)
	return answer, leader, err
}

// Elsewhere implements resync.Caller.
func (c groupCaller) Elsewhere(group uint32, node membership.NodeID) { c.named.forget(group, node) }

// leader is the node that leads, as this replica has heard, or as the other
// holders have, now or when they were asked before.
func (c groupCaller) leader(ctx context.Context, group uint32) (membership.NodeID, error) {
	if id, ok := c.heard(group); ok {
		return id, nil
	}
	if id, ok := c.named.get(group); ok {
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
			c.named.set(group, id)
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
