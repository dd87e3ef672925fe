package transfer

import (
	"context"
	"log/slog"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// MaxStreams is how many answers a Server gives at once; further ones are refused with ErrBusy.
const MaxStreams = 12

// LeafReader reads leaves of one cut. *storage.View is one.
type LeafReader interface {
	// LeafBytes gives the canonical bytes of a leaf; the caller may keep them and does not change them.
	LeafBytes(ctx context.Context, leaf digest.Leaf) ([]byte, error)
}

// Views opens cuts for reading.
type Views interface {
	// View gives the reader of a cut of a group, or ErrNotPinned, or ErrNotServed when the replica may not be a source
	// (held, quarantined, syncing, not here). release is called once, after the last read.
	View(ctx context.Context, group uint32, cutID string) (reader LeafReader, release func(), err error)
}

// ServerOptions configure a Server.
type ServerOptions struct {
	Views  Views
	Out    *Limiter // bytes sent, of the node; nil: none
	Logger *slog.Logger
}

// Server answers requests for leaves.
type Server struct {
	options ServerOptions
	slots   chan struct{} // capacity MaxStreams
}

// NewServer makes a Server.
func NewServer(o ServerOptions) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{options: o, slots: make(chan struct{}, MaxStreams)}
}

// Load is how many answers are under way: what a target compares sources by.
func (s *Server) Load() int { return len(s.slots) }
