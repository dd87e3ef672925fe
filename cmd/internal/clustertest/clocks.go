package clustertest

import "time"

// SetClock sets a node's wall clock, running or not, to the true time and ahead
// more.
func (c *Cluster) SetClock(i int, ahead time.Duration) { c.nodes[i].skew.Store(int64(ahead)) }

// now is the wall clock of a node's host; it can be set, so it is not monotonic.
func (m *Member) now() time.Time { return time.Now().Round(0).Add(time.Duration(m.skew.Load())) }
