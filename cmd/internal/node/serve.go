package node

import (
	"context"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/raftmux"
	"github.com/flotilla-db/flotilla/rpc/server"
)

// drainLimit bounds the wait for requests under way when the node stops.
const drainLimit = 2 * time.Second

// serve begins to answer on the sockets, before the node is ready: /readyz and
// the health service say what is missing.
func (n *Node) serve() error {
	s := server.New(n.gateway, api.Version{Version: n.version}, n.log)
	l := s.Serve(n.sockets.rpc, raftmux.ServerOptions(), n.mux)
	n.stages.add("gRPC", func(ctx context.Context) error {
		s.Shutdown()
		limited, cancel := context.WithTimeout(ctx, drainLimit)
		defer cancel()
		return l.Close(limited)
	})
	n.stages.loop("gRPC health", func(ctx context.Context) {
		select {
		case <-ctx.Done():
		case <-n.ready.done:
			s.SetReady(true)
		}
	})
	return nil
}
