package node

import (
	"context"
	"fmt"
	"io"
	"time"
)

// banner is what a node prints before it does anything.
func (n *Node) banner(out io.Writer) {
	security := "off (loopback or --insecure)"
	if n.cfg.Secured() {
		security = "on (cluster key)"
	}
	text := fmt.Sprintf("flotilla %s\n", n.version)
	for _, line := range [][2]string{
		{"node", n.id.Name + " (incarnation " + n.id.Incarnation + ")"},
		{"cluster", n.clusterLine()},
		{"data", n.cfg.DataDir + " (log engine " + n.cfg.LogEngine + ")"},
		{"rpc", n.addrs.rpc},
		{"http", "http://" + n.addrs.http},
		{"gossip", n.addrs.gossip},
		{"security", security},
	} {
		text += fmt.Sprintf("  %-9s %s\n", line[0], line[1])
	}
	_, _ = io.WriteString(out, text) // at once: logs may go to the same place
}

// clusterLine is the label, and the id once there is one.
func (n *Node) clusterLine() string {
	if id := n.identity.get().ClusterID; id != "" {
		return n.cfg.Cluster + " (" + id + ")"
	}
	return n.cfg.Cluster
}

// announceReady prints one line when the node is ready.
func (n *Node) announceReady(ctx context.Context, out io.Writer) {
	select {
	case <-ctx.Done():
	case <-n.ready.done:
		groups := len(n.dir.Table().HeldBy(n.id.Name))
		fmt.Fprintf(out, "%d groups, all led, %.1f s\n", groups, time.Since(n.startedAt).Seconds())
	}
}
