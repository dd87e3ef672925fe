package node

import (
	"context"
	"time"

	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// What a piece of background work costs the processor of this node beside its bytes, about: opening files, entries of the
// log, calls. It cannot be cut into pieces, and is charged to those that follow.
const (
	jobCost     = 10 * time.Millisecond // of a copy into this node
	inspectCost = time.Millisecond      // of re-reading a replica
)

// writing reports whether clients wait for writes to groups that are led here.
func (n *Node) writing() bool {
	host := n.hosts.host.Load()
	return host != nil && host.Writing()
}

// turns is where work on whole shards asks for its turn: it implements storage.Turns.
func (n *Node) turns(ctx context.Context) (step func() error, end func()) {
	t, _ := n.governor.Begin(ctx) // the error is each step's
	return func() error { return t.Step(ctx) }, t.End
}

// background is what holds back this node's background work, for metrics and jobs.
func (n *Node) background() gateway.Background {
	s := n.governor.Stats()
	return gateway.Background{Why: n.governor.Why(), Share: s.Share, WaitSeconds: s.Waits.Seconds()}
}
