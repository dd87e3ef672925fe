package clustertest

import (
	"slices"
	"time"
)

// Partition splits the nodes: those listed stay together, and reach none of
// the others. Clients reach everybody.
func (c *Cluster) Partition(side ...int) {
	for a := range c.nodes {
		for b := range a {
			if slices.Contains(side, a) != slices.Contains(side, b) {
				c.Network.Cut(c.nodes[a].Host, c.nodes[b].Host)
			}
		}
	}
}

// Heal ends every Partition and every Delay.
func (c *Cluster) Heal() {
	for a := range c.nodes {
		for b := range a {
			c.Network.Heal(c.nodes[a].Host, c.nodes[b].Host)
			c.Network.Delay(c.nodes[a].Host, c.nodes[b].Host, 0)
		}
	}
}

// Delay makes everything between a node and the others take that long, one way.
func (c *Cluster) Delay(node int, d time.Duration) {
	for i := range c.nodes {
		if i != node {
			c.Network.Delay(c.nodes[node].Host, c.nodes[i].Host, d)
		}
	}
}
