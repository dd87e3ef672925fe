package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

var (
	buildInfo   = describe("build_info", "Which build this is; always 1.", "version", "go_version", "revision")
	nodeInfo    = describe("node_info", "The name of this node; always 1.", "node")
	ready       = describe("ready", "Whether this node takes part (what /readyz answers).")
	nodesSeen   = describe("nodes", "Nodes of the cluster by the state that this node sees them in.", "state")
	nodeUp      = describe("node_up", "Whether this node sees a node as up.", "node")
	groupsInUse = describe("groups_in_use", "Groups of the cluster that were ever written.")
	diskFree    = describe("disk_free_bytes", "Free bytes of the disk that holds the data directory.")
	logBytes    = describe("log_bytes", "Bytes of the entries in this node's write-ahead log, all groups together.")
	wireSent    = describe("peer_sent_bytes_total", "Bytes that this node has sent to others over the streams of Raft and of small calls since it began; copies of replicas are not in it.")
	wireGot     = describe("peer_received_bytes_total", "Bytes that came over those streams.")
	clockOffset = describe("clock_offset_seconds", "How far this node's clock is ahead of the majority's.")
)

func (c *Collector) node(ch chan<- prometheus.Metric, own *gateway.Own) {
	v := c.cfg.Version
	gauge(ch, buildInfo, 1, v.Version, v.GoVersion, v.Revision)
	gauge(ch, nodeInfo, 1, c.cfg.Node)
	gauge(ch, groupsInUse, own.Assigned)
	gauge(ch, diskFree, own.DiskFree)
	if c.cfg.Ready != nil {
		gauge(ch, ready, truth(c.cfg.Ready()))
	}
	if c.cfg.LogBytes != nil {
		gauge(ch, logBytes, c.cfg.LogBytes())
	}
	if c.cfg.Wire != nil {
		sent, received := c.cfg.Wire()
		counter(ch, wireSent, sent)
		counter(ch, wireGot, received)
	}
	if own.ClockMs != nil {
		gauge(ch, clockOffset, float64(*own.ClockMs)/1000)
	}
	states := map[string]int{}
	for name, state := range own.Nodes {
		states[state]++
		gauge(ch, nodeUp, truth(state == api.NodeStates[0]), name)
	}
	for _, state := range api.NodeStates {
		gauge(ch, nodesSeen, states[state], state)
	}
}
