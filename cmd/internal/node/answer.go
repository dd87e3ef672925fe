package node

import (
	"context"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/raftgroup/failover"
	"github.com/flotilla-db/flotilla/raftgroup/reconcile"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/raftmux"
)

// answer registers what this node answers on the streams, but for resyncs, which
// answer when they are there. Handlers run only once streams are accepted, which is
// after every part is there.
func (n *Node) answer() {
	for _, m := range []raftmux.Method{methodTerms, methodStanding, methodContains, methodCommitted} {
		n.mux.Handle(m, n.withHost(func(ctx context.Context, h *raftgroup.Host, from membership.NodeID, b []byte) ([]byte, error) {
			return h.Handle(ctx, from, raftgroup.Method(m), b)
		}))
	}
	n.mux.Handle(methodReconcile, n.withHost(func(ctx context.Context, h *raftgroup.Host, from membership.NodeID, b []byte) ([]byte, error) {
		return reconcile.Responder{Host: h}.Handle(ctx, from, b)
	}))
	n.mux.Handle(methodFailover, n.failover.Handle)
	n.mux.Handle(methodDirectory, func(ctx context.Context, from membership.NodeID, b []byte) ([]byte, error) {
		return n.dir.Serve(ctx, from, b)
	})
	n.mux.Handle(methodClock, func(context.Context, membership.NodeID, []byte) ([]byte, error) { return n.clock.answer(), nil })
	for _, m := range gateway.Methods() {
		n.mux.Handle(raftmux.Method(m), func(ctx context.Context, from membership.NodeID, b []byte) ([]byte, error) {
			return n.gateway.Serve(ctx, from, m, b)
		})
	}
}

// withHost answers "no such group" for as long as this node holds none.
func (n *Node) withHost(handle func(context.Context, *raftgroup.Host, membership.NodeID, []byte) ([]byte, error)) raftmux.HandlerFunc {
	return func(ctx context.Context, from membership.NodeID, b []byte) ([]byte, error) {
		h := n.hosts.host.Load()
		if h == nil {
			return nil, raftgroup.ErrUnknownGroup
		}
		return handle(ctx, h, from, b)
	}
}

func (n *Node) reconcileCall(ctx context.Context, to membership.NodeID, request []byte) ([]byte, error) {
	return n.mux.Call(ctx, to, methodReconcile, request)
}

// ownGroups are this node's replicas for failover; none before there is a host.
type ownGroups struct{ hosts *hostAdapter }

// LedBy implements failover.Groups.
func (g ownGroups) LedBy(peer membership.NodeID) []failover.Standing {
	if h := g.hosts.host.Load(); h != nil {
		return h.LedBy(peer)
	}
	return nil
}

// Campaign implements failover.Groups.
func (g ownGroups) Campaign(group uint32, leader membership.ServerID, term uint64) error {
	if h := g.hosts.host.Load(); h != nil {
		return h.Campaign(group, leader, term)
	}
	return raftgroup.ErrUnknownGroup
}
