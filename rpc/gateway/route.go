package gateway

import (
	"github.com/flotilla-db/flotilla/membership"
)

// Route says which node answered a read of one group as its leader. It is a
// hint: any node answers any read.
type Route struct {
	Group, TotalGroups uint32
	Node               membership.Node
	Identity           string // of the node, as its own Identity
	Forwarded          bool   // by this node
}

// Identity names this node among the nodes of all clusters; "" while it does
// not know its own cluster.
func (g *Gateway) Identity() string { return identity(g.cfg.Directory.Table(), g.cfg.Self) }

func identity(t *Table, id membership.NodeID) string {
	if t.ClusterID == "" {
		return ""
	}
	return t.ClusterID + "/" + id.String()
}

// Route looks up who answered; false where that cannot be told any more, or
// where not one leader did.
func (g *Gateway) Route(a Answered) (Route, bool) {
	if a.Node == "" {
		return Route{}, false
	}
	t := g.cfg.Directory.Table()
	n, known := t.Nodes[a.Node]
	r := Route{Group: a.Group, TotalGroups: t.TotalGroups, Node: n, Identity: identity(t, n.NodeID), Forwarded: n.NodeID != g.cfg.Self}
	return r, known && r.Identity != ""
}

// Answered is who answered a read of one group that its leader had to answer;
// Node is "" for every other read.
type Answered struct {
	Group uint32
	Node  string // its name
}
