package node

import (
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// ID is this node's id in the cluster.
func (n *Node) ID() membership.NodeID { return n.id }

// Ready is closed when /readyz would answer 200.
func (n *Node) Ready() <-chan struct{} { return n.ready.done }

// Missing lists what the node lacks to be ready.
func (n *Node) Missing() []string { return n.ready.Missing() }

// Syncing is how many groups were not waited for when the node became ready.
func (n *Node) Syncing() int { return n.ready.Syncing() }

// Gateway carries out operations on this node.
func (n *Node) Gateway() *gateway.Gateway { return n.gateway }

// Meta is this node's replica of the meta group.
func (n *Node) Meta() *directory.Directory { return n.dir }

// Groups are this node's replicas; nil before it is a member of a cluster.
func (n *Node) Groups() *raftgroup.Host { return n.hosts.host.Load() }
