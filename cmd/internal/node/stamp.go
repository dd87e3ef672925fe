package node

import (
	"fmt"
	"time"
)

// now is the wall clock.
func (n *Node) now() time.Time {
	if n.opts.Now != nil {
		return n.opts.Now()
	}
	return time.Now()
}

// stamp gives the time of a point that came without one, unless this node's
// clock is too far from the majority's.
func (n *Node) stamp() (time.Time, error) {
	at, err := n.clock.stamp()
	if err != nil {
		return time.Time{}, fmt.Errorf("node %s: %w", n.id.Name, err)
	}
	return at, nil
}
