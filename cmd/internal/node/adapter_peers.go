package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/raftmux"
)

// peersAdapter reaches other nodes for the gateway; Conn is the Mux's own.
type peersAdapter struct{ *raftmux.Mux }

// Call implements gateway.Peers.
func (a peersAdapter) Call(ctx context.Context, to membership.NodeID, method gateway.Method, payload []byte) ([]byte, error) {
	answer, err := a.Mux.Call(ctx, to, raftmux.Method(method), payload)
	return answer, gatewayError(err)
}

// gatewayError says in the gateway's terms whether a call was executed.
func gatewayError(err error) error {
	var remote *raftmux.RemoteError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raftmux.ErrBroken): // first: it may wrap an error that says more than is known
		return classed{gateway.ErrBroken, err}
	case errors.Is(err, raftmux.ErrBusy):
		return classed{gateway.ErrBusy, err}
	case errors.Is(err, raftmux.ErrUnreachable), errors.Is(err, raftmux.ErrClosed):
		return classed{gateway.ErrUnreachable, err}
	case errors.Is(err, raftmux.ErrTooLarge):
		return classed{gateway.ErrRefused, err}
	case errors.As(err, &remote) && !remote.Executed():
		return classed{gateway.ErrNotApplied, err}
	}
	return err
}

// directoryCaller reaches the directory of another node.
type directoryCaller struct{ mux *raftmux.Mux }

// Call implements directory.Caller.
func (c directoryCaller) Call(ctx context.Context, to membership.NodeID, payload []byte) ([]byte, error) {
	answer, err := c.mux.Call(ctx, to, methodDirectory, payload)
	return answer, notDelivered(err)
}

// notDelivered says in the directory's terms that a call was certainly not
// executed.
func notDelivered(err error) error {
	var remote *raftmux.RemoteError
	switch {
	case errors.Is(err, raftmux.ErrBroken): // first, as above
	case errors.Is(err, raftmux.ErrUnreachable), errors.Is(err, raftmux.ErrBusy), errors.Is(err, raftmux.ErrClosed),
		errors.As(err, &remote) && !remote.Executed():
		return fmt.Errorf("%w: %w", directory.ErrNotDelivered, err)
	}
	return err
}

// groupCall reaches the host of another node; readers wait for terms.
func groupCall(mux *raftmux.Mux) raftgroup.Caller {
	return func(ctx context.Context, to membership.NodeID, method raftgroup.Method, payload []byte) ([]byte, error) {
		if method == raftgroup.MethodTerms {
			return mux.Call(ctx, to, methodTerms, payload, raftmux.Urgent)
		}
		return mux.Call(ctx, to, raftmux.Method(method), payload)
	}
}

// peerLiveness is what the streams tell of other nodes.
type peerLiveness struct {
	self membership.NodeID
	mux  *raftmux.Mux
}

// Up reports whether a node answers; this one does.
func (l peerLiveness) Up(id membership.NodeID) bool {
	if id == l.self {
		return true
	}
	state, _ := l.Seen(id)
	return state == membership.NodeUp
}

// Seen implements gateway.Liveness.
func (l peerLiveness) Seen(id membership.NodeID) (state membership.NodeState, silent time.Duration) {
	p := l.mux.Peer(id)
	silent = p.Silent
	if !p.Heard {
		silent = neverHeard
	}
	switch {
	case p.Refused:
		return membership.NodeDown, silent
	case !p.Connected:
		return membership.NodeSuspect, silent
	case p.Silent >= silentIsDown:
		return membership.NodeDown, silent
	}
	return membership.NodeUp, silent
}

// neverHeard is the silence of a peer that has said nothing since this start.
const neverHeard = -1

// silentIsDown is how long a peer may say nothing (it pings four times a
// second) before it is held for down.
const silentIsDown = 2 * time.Second
