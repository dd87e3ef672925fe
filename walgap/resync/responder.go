package resync

import (
	"context"
	"log/slog"

	"github.com/flotilla-db/flotilla/membership"
)

// ResponderConfig is what a Responder works with.
type ResponderConfig struct {
	// Led is the group, if this node leads it: ErrNotLeader otherwise.
	Led    func(group uint32) (Led, error)
	Logger *slog.Logger
}

// Responder answers the targets of the groups that this node leads.
type Responder struct{ config ResponderConfig }

// NewResponder makes a Responder.
func NewResponder(c ResponderConfig) *Responder { return &Responder{config: c} }

// Answer answers one request of a peer. The error is nil where the answer itself carries one.
func (r *Responder) Answer(ctx context.Context, from membership.NodeID, request []byte) ([]byte, error) {
	return nil, ErrWire
}

// Close ends what is held for targets, and waits.
func (r *Responder) Close() error { return nil }
