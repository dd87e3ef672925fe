package node

import (
	"slices"
	"time"
)

// foreignWindow is how long after its start a node takes a seed of another
// cluster for a mistake of the operator's, and ends. Later it may be an address
// that has changed hands: a node that runs never ends because of its seeds.
const foreignWindow = 10 * time.Second

// foreignSeed is told by gossip that an address which it asked belongs to
// another cluster.
func (n *Node) foreignSeed(addr string, err error) {
	if slices.Contains(n.cfg.Join, addr) && time.Since(n.startedAt) < foreignWindow {
		n.fatal(err)
	}
}
