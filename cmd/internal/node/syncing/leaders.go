package syncing

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

// leaders asks the leaders of groups, for those replicas too that hear none.
// A replica that is held, or not in its group yet, does not know who leads: the
// node that others named is asked until it does not answer, or says that it
// leads no more.
type leaders struct {
	config *Config
	named  *namedLeaders // nil: nothing is remembered
}

// Call implements resync.Caller.
func (c leaders) Call(ctx context.Context, group uint32, request []byte) ([]byte, membership.NodeID, error) {
	return c.ask(ctx, group, methodResync, request)
}

// ask sends a request to whoever leads the group.
func (c leaders) ask(ctx context.Context, group uint32, method raftmux.Method, request []byte) ([]byte, membership.NodeID, error) {
	leader, err := c.leader(ctx, group)
	if err != nil {
		return nil, leader, err
	}
	answer, err := c.config.Streams.Call(ctx, leader, method, request)
	if err == nil || !c.named.forget(group, leader) || method == methodResync || ctx.Err() != nil {
		return answer, leader, err
	}
	// Whoever was remembered does not lead: only a job's own calls may not be made twice.
	if leader, err = c.leader(ctx, group); err != nil {
		return nil, leader, err
	}
	answer, err = c.config.Streams.Call(ctx, leader, method, request)
	return answer, leader, err
}

// Elsewhere implements resync.Caller.
func (c leaders) Elsewhere(group uint32, node membership.NodeID) { c.named.forget(group, node) }

// leader is the node that leads, as this replica has heard, or as the other
// holders have, now or when they were asked before.
func (c leaders) leader(ctx context.Context, group uint32) (membership.NodeID, error) {
	if id, ok := c.heard(group); ok {
		return id, nil
	}
	if id, ok := c.named.get(group); ok {
		return id, nil
	}
	for _, holder := range c.holders(group) {
		if holder == c.config.Self || holder.Name == "" || !c.config.Up(holder) {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, whoLimit)
		answer, err := c.config.Streams.Call(limited, holder, methodWho, encodeGroup(group))
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
func (c leaders) holders(group uint32) []membership.NodeID {
	table := c.config.Directory.Table()
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
func (c leaders) heard(group uint32) (membership.NodeID, bool) {
	g, err := c.config.Group(group)
	if err != nil {
		return membership.NodeID{}, false
	}
	leader, ok := g.Leader()
	return leader.NodeID, ok
}

// answerWho says whom this node's replica holds for the leader; nothing if it
// hears none.
func (c leaders) answerWho(_ context.Context, _ membership.NodeID, request []byte) ([]byte, error) {
	group, err := decodeGroup(request)
	if err != nil {
		return nil, err
	}
	if leader, ok := c.heard(group); ok {
		return []byte(leader.String()), nil
	}
	return nil, nil
}

// copied tells the leader of a group that a replica of this node has its copy:
// it may be given its vote now, and not at the leader's next look.
func (c leaders) copied(group uint32) {
	c.config.Errand(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, nudgeLimit)
		defer cancel()
		if _, _, err := c.ask(ctx, group, methodCopied, encodeGroup(group)); err != nil {
			c.config.Logger.Debug("the leader was not told of a copy", "group", group, "err", err)
		}
	})
}
