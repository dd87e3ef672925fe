package node

import (
	"context"
	"time"

	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// inspectCost is what re-reading a replica costs the processor of this node beside its bytes, about: opening files, calls.
// It cannot be cut into pieces, and is charged to those that follow.
const inspectCost = time.Millisecond

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
