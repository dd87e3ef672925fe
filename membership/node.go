package membership

import (
	"fmt"
	"time"
)

// NodeState is what the cluster thinks of a node.
type NodeState uint8

// The states of a node. Suspect and down come from gossip and are never
// written into the meta group; draining and drained are the operator's will.
const (
	NodeUp NodeState = iota + 1
	NodeSuspect
	NodeDown
	NodeDraining
	NodeDrained
)

var nodeStateNames = [...]string{NodeUp: "up", NodeSuspect: "suspect", NodeDown: "down", NodeDraining: "draining", NodeDrained: "drained"}

// String gives the word that the API uses.
func (s NodeState) String() string {
	if s == 0 || int(s) >= len(nodeStateNames) {
		return fmt.Sprintf("NodeState(%d)", uint8(s))
	}
	return nodeStateNames[s]
}

// Valid reports whether s is one of the states above.
func (s NodeState) Valid() bool { return s >= NodeUp && s <= NodeDrained }

// Node is one row of the node table.
type Node struct {
	NodeID
	Zone       string
	RPCAddr    string // host:port at which peers and clients reach its gRPC
	HTTPAddr   string
	GossipAddr string
	Version    string
	State      NodeState
	// Placeable nodes may be given replicas. A node becomes placeable with
	// its registration and stops being so when it is drained.
	Placeable    bool
	StartedAt    time.Time // UTC; start of its process, by its own clock
	RegisteredAt time.Time // UTC; when this incarnation was first committed
	Epoch        uint64    // rises with every change of this row
}

// SameAddresses reports whether two rows are reached in the same way.
func (n Node) SameAddresses(o Node) bool {
	return n.RPCAddr == o.RPCAddr && n.HTTPAddr == o.HTTPAddr && n.GossipAddr == o.GossipAddr
}
