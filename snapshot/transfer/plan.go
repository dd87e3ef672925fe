package transfer

import (
	"context"
	"log/slog"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// The bounds of a message, in bytes of leaves before compression.
const (
	MinMessageBytes     = 128 << 10
	MaxMessageBytes     = 16 << 20
	DefaultMessageBytes = 512 << 10
)

// DefaultSilence is how long a source may send nothing before it is dropped.
const DefaultSilence = 20 * time.Second

// Plan says what to fetch.
type Plan struct {
	Group        uint32
	Cut          string
	Want         []digest.Entry // any order; each leaf once
	Sources      []SourceInfo
	LeaderShare  float64       // 0..1 of the bytes; 0: nothing while another source lives
	MessageBytes int           // 0: DefaultMessageBytes; see MessageBytesOf
	Rate         *Limiter      // of this transfer; nil: none
	Limits       *Limits       // of the node; nil: of this transfer alone
	Silence      time.Duration // 0: DefaultSilence
	Logger       *slog.Logger  // nil: none
}

// Sink verifies a leaf and stores it. An error that wraps ErrWrongContent blames the source, any other ends the run.
// It is called by one goroutine at a time, and does not keep the bytes.
type Sink func(source string, e digest.Entry, leafBytes []byte) error

// Progress is how far a run is.
type Progress struct {
	Bytes, TotalBytes   uint64 // of leaves that were stored, and of all that are wanted
	Partial             uint64 // bytes that arrived of leaves that are not stored yet
	Leaves, TotalLeaves int
	Rate                float64 // bytes of leaves a second, of late
	Sources             []SourceReport
}

// SourceReport is what one source gave.
type SourceReport struct {
	Name      string
	Leader    bool
	Bytes     uint64  // of leaves that were stored
	Leaves    int     // that were stored
	WireBytes uint64  // received, wasted ones too
	Rate      float64 // estimate of bytes of leaves a second; 0: not known
	Err       error   // why it was dropped; nil: it was not
}

// Result is what a run did. It is valid beside an error too.
type Result struct {
	Bytes, WireBytes uint64
	Leaves           int
	Sources          []SourceReport
}

// Run fetches what the plan wants. It returns when all of it was stored, when ctx ends, when the sink fails (its error),
// or when no source is left (*SourcesGone); by then all its goroutines have ended. progress may be nil; it is called
// from one goroutine, a few times a second and at the end.
func Run(ctx context.Context, plan Plan, sink Sink, progress func(Progress)) (Result, error) {
	return newRun(plan, sink, progress).run(ctx)
}

// MessageBytesOf is the size of messages that hold about so many points of the wanted leaves.
func MessageBytesOf(points int, want []digest.Entry) int {
	var bytes, all uint64
	for _, e := range want {
		bytes, all = bytes+e.Bytes, all+e.Points
	}
	if points <= 0 || all == 0 {
		return DefaultMessageBytes
	}
	size := float64(points) * float64(bytes) / float64(all)
	return int(min(max(size, MinMessageBytes), MaxMessageBytes))
}
