package directory

import (
	"time"

	"github.com/google/uuid"

	"github.com/flotilla-db/flotilla/membership"
)

// MaxGroups bounds total_groups: below the id of the meta group.
const MaxGroups = 16384

// InitCluster is the first command of a cluster.
type InitCluster struct {
	ClusterID   string // UUID
	TotalGroups uint32
}

// Kind implements Command.
func (InitCluster) Kind() Kind                  { return KindInitCluster }
func (InitCluster) repeatable() bool            { return true }
func (c InitCluster) stamped(time.Time) Command { return c }

func (c InitCluster) check() error {
	if id, err := uuid.Parse(c.ClusterID); err != nil || id == uuid.Nil || id.String() != c.ClusterID {
		return refuse(codeInvalid, "cluster id %q is no UUID", c.ClusterID)
	}
	if c.TotalGroups == 0 || c.TotalGroups > MaxGroups {
		return refuse(codeInvalid, "total_groups %d is not in 1..%d", c.TotalGroups, MaxGroups)
	}
	return nil
}

func (c InitCluster) write(w *writer) {
	w.uuid(c.ClusterID)
	w.uint(uint64(c.TotalGroups))
}

func readInitCluster(r *reader) Command {
	return InitCluster{ClusterID: r.uuid(), TotalGroups: r.uint32()}
}

func (c InitCluster) apply(d *draft) error {
	t := &d.table
	switch {
	case t.ClusterID == "":
		t.ClusterID, t.TotalGroups, d.changed = c.ClusterID, c.TotalGroups, true
	case t.ClusterID != c.ClusterID || t.TotalGroups != c.TotalGroups:
		return refuse(codeForeign, "cluster %s with %d groups", t.ClusterID, t.TotalGroups)
	}
	return nil
}

// RegisterNode writes a node's own row: a new node, changed addresses, or a
// new incarnation, which takes the places of the old one of its name.
type RegisterNode struct {
	ClusterID string // the cluster that the node believes to be in; "": its table has not told it yet
	Node      membership.Node
	At        time.Time // stamp of the proposer
}

// Kind implements Command.
func (RegisterNode) Kind() Kind       { return KindRegisterNode }
func (RegisterNode) repeatable() bool { return true }

func (c RegisterNode) stamped(now time.Time) Command {
	c.At = stamp(c.At, now)
	return c
}

func (c RegisterNode) check() error {
	if err := c.Node.Validate(); err != nil {
		return refuse(codeInvalid, "register node: %v", err)
	}
	for _, s := range []string{c.Node.Zone, c.Node.RPCAddr, c.Node.HTTPAddr, c.Node.GossipAddr, c.Node.Version} {
		if len(s) > 255 {
			return refuse(codeInvalid, "register node %s: %q is longer than 255 bytes", c.Node.Name, s[:32])
		}
	}
	if c.Node.RPCAddr == "" {
		return refuse(codeInvalid, "register node %s: no rpc address", c.Node.Name)
	}
	return nil
}

func (c RegisterNode) write(w *writer) {
	w.uuid(c.ClusterID)
	writeNode(w, c.Node)
	w.time(c.At)
}

func readRegisterNode(r *reader) Command {
	return RegisterNode{ClusterID: r.uuid(), Node: readNode(r), At: r.time()}
}

// apply keeps what the operator decided about the name (draining, drained)
// over restarts and incarnations.
func (c RegisterNode) apply(d *draft) error {
	if d.table.Replaced(c.Node.NodeID) {
		return refuse(codeReplaced, "node %s", c.Node.NodeID)
	}
	if d.table.ClusterID == "" || c.ClusterID != "" && c.ClusterID != d.table.ClusterID {
		return refuse(codeForeign, "node %s of cluster %q, this is %q", c.Node.NodeID, c.ClusterID, d.table.ClusterID)
	}
	next := c.Node
	next.State, next.RegisteredAt, next.Epoch = membership.NodeUp, c.At, 1
	if old, known := d.table.Nodes[next.Name]; known {
		next.State, next.Epoch = old.State, old.Epoch+1
		if old.State == membership.NodeDraining || old.State == membership.NodeDrained {
			next.Placeable = false
		}
		if old.NodeID == next.NodeID {
			next.RegisteredAt = old.RegisteredAt
			if next.Epoch = old.Epoch; next == old {
				return nil
			}
			next.Epoch++
		} else {
			d.retire(old.NodeID)
		}
	}
	d.setNode(next)
	return nil
}

func writeNode(w *writer, n membership.Node) {
	w.node(n.NodeID)
	for _, s := range []string{n.Zone, n.RPCAddr, n.HTTPAddr, n.GossipAddr, n.Version} {
		w.text(s)
	}
	w.byte(byte(n.State))
	w.bool(n.Placeable)
	w.time(n.StartedAt)
	w.time(n.RegisteredAt)
	w.uint(n.Epoch)
}

func readNode(r *reader) membership.Node {
	return membership.Node{
		NodeID: r.node(),
		Zone:   r.text(), RPCAddr: r.text(), HTTPAddr: r.text(), GossipAddr: r.text(), Version: r.text(),
		State: membership.NodeState(r.byte()), Placeable: r.bool(),
		StartedAt: r.time(), RegisteredAt: r.time(), Epoch: r.uint(),
	}
}
