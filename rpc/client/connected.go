package client

import (
	"context"

	"google.golang.org/grpc/connectivity"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// connected waits for the connection before a change is sent: gRPC gives one
// code for a node that cannot be reached and for one that broke off, and only of
// the first it is certain that nothing was done. Its error may be tried again at
// another node.
func (n *conn) connected(ctx context.Context) error {
	n.cc.Connect()
	for {
		state := n.cc.GetState()
		if err := ctx.Err(); err != nil { // gRPC says the same of a call that was never sent, and of one that was
			return api.E(api.NotApplied, "retry", "the call was ended, nothing was sent").Because(err)
		}
		switch state {
		case connectivity.Ready:
			return nil
		case connectivity.TransientFailure:
			return api.E(api.NotReady, "retry; see that the node runs", "the node at %s cannot be reached, nothing was sent", n.addr)
		case connectivity.Shutdown:
			return api.E(api.Cancelled, "", "the client is closed")
		}
		if !n.cc.WaitForStateChange(ctx, state) {
			return api.E(api.NotApplied, "retry", "the node at %s was not reached in time, nothing was sent", n.addr).Because(ctx.Err())
		}
	}
}
