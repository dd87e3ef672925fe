package node

import (
	"fmt"

	"github.com/flotilla-db/flotilla/raftgroup"
)

// What follows shows the groups of this node to its own parts: there are none
// before there is a host.

// groups are the replicas of this node; none before there is a host.
func (a *hostAdapter) groups() []*raftgroup.Group {
	h := a.host.Load()
	if h == nil {
		return nil
	}
	return h.Groups()
}

// group is this node's copy of a group.
func (a *hostAdapter) group(id uint32) (*raftgroup.Group, error) {
	h := a.host.Load()
	if h == nil {
		return nil, fmt.Errorf("group %d: this node has no groups yet: %w", id, raftgroup.ErrUnknownGroup)
	}
	g, ok := h.Group(id)
	if !ok {
		return nil, fmt.Errorf("group %d is not open on this node: %w", id, raftgroup.ErrUnknownGroup)
	}
	return g, nil
}

// known are the groups of which the data directory holds anything.
func (a *hostAdapter) known() []uint32 {
	h := a.host.Load()
	if h == nil {
		return nil
	}
	return h.Known()
}

// stored is what the file of a group says that does not run here.
func (a *hostAdapter) stored(group uint32) (raftgroup.Report, bool, error) {
	h := a.host.Load()
	if h == nil {
		return raftgroup.Report{}, false, nil
	}
	return h.Stored(group)
}

// look has reconcile look at a group at once, once there is that.
func (a *hostAdapter) look(group uint32) {
	if loop := a.reconcile.Load(); loop != nil {
		loop.Look(group)
	}
}
