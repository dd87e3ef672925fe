package transfer

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/klauspost/compress/zstd"
)

// MaxStreams is how many answers a Server gives at once; further ones are refused with ErrBusy.
const MaxStreams = 16

// messageTime is the time that one message may take of the rate, so that all answers move.
const messageTime = 250 * time.Millisecond

// LeafReader reads leaves of one cut. *storage.View is one.
type LeafReader interface {
	// AppendLeaf appends the canonical bytes of a leaf to dst, whose memory is the caller's.
	AppendLeaf(ctx context.Context, dst []byte, leaf digest.Leaf) ([]byte, error)
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
	answers atomic.Uint64
	zstd    sync.Pool // of *zstd.Encoder, for those answers that compress
	samples samples   // of what they send
}

// NewServer makes a Server.
func NewServer(o ServerOptions) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Server{options: o, slots: make(chan struct{}, MaxStreams), zstd: sync.Pool{New: newEncoder}}
}

// Answers counts the answers that were begun.
func (s *Server) Answers() uint64 { return s.answers.Load() }

// Serve answers one request; send is called from this goroutine. It refuses with ErrBusy, ErrNotPinned or ErrNotServed
// before it sends anything; a cut that ends later ends the answer. The cut is released when it returns.
func (s *Server) Serve(ctx context.Context, r Request, send func(Message) error) error {
	select {
	case s.slots <- struct{}{}:
	default:
		return fmt.Errorf("%w: it gives %d answers", ErrBusy, MaxStreams)
	}
	defer func() { <-s.slots }()
	s.answers.Add(1)
	began := time.Now()
	reader, release, err := s.options.Views.View(ctx, r.Group, r.Cut)
	if err != nil {
		return fmt.Errorf("open cut %s of group %d: %w", r.Cut, r.Group, err)
	}
	defer release()
	sent := 0
	p := packer{size: s.messageBytes(r), began: began, send: func(m Message) error {
		wire := m.WireBytes()
		if err := s.options.Out.Wait(ctx, wire); err != nil {
			return err
		}
		sent += wire
		return send(m)
	}}
	if r.Compress {
		p.zstd, p.try = s.zstd.Get().(*zstd.Encoder), &s.samples
		defer s.zstd.Put(p.zstd)
	}
	for _, leaf := range r.Leaves {
		l := lend()
		b, err := reader.AppendLeaf(ctx, (*l.bytes)[:0], leaf)
		if err != nil {
			return fmt.Errorf("read leaf %v of group %d: %w", leaf, r.Group, err)
		}
		*l.bytes = b
		err = p.add(leaf, l)
		l.release()
		if err != nil {
			return fmt.Errorf("send leaf %v of group %d: %w", leaf, r.Group, err)
		}
	}
	if err := p.flush(); err != nil {
		return fmt.Errorf("send leaves of group %d: %w", r.Group, err)
	}
	s.options.Logger.Debug("leaves sent", "group", r.Group, "cut", r.Cut, "leaves", len(r.Leaves), "bytes", sent)
	return nil
}

// messageBytes is the size of messages: what was asked for, but less where the rate is low.
func (s *Server) messageBytes(r Request) int {
	size := r.MessageBytes
	if rate := s.options.Out.Rate(); rate > 0 {
		size = min(size, int(rate*messageTime.Seconds()))
	}
	return min(max(size, MinMessageBytes), MaxMessageBytes)
}
