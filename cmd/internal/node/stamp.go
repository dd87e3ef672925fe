package node

import (
	"fmt"
	"time"
)

// now is the wall clock.
func (n *Node) now() time.Time { return time.Now() }

// stamp gives the time of a point that came without one, unless this node's
// clock is too far from the majority's.
func (n *Node) stamp() (time.Time, error) {
	if offset, _ := n.clock.Offset(); !n.clock.MayStamp() {
		return time.Time{}, fmt.Errorf("this node's clock is off by %s, more than %s (hint: send timestamps, or set the clock)",
			offset.Round(time.Millisecond), n.cfg.MaxClockOffset)
	}
	return n.now(), nil
}
