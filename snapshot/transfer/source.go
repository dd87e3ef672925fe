package transfer

import (
	"context"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Source is one replica that pinned the cut.
//
// Fetch asks for leaves and hands them over as they come, each whole and once,
// in the order asked. It returns when all are handed over (nil), when the
// source ends or fails (ErrNotPinned, ErrNotServed, ErrBusy, ErrMessage or
// another error), when the receiver returns an error (that error), or when ctx
// ends; by then it no longer calls the receiver. Several Fetches run at once.
type Source interface {
	Name() string // of the node, for people
	Fetch(ctx context.Context, r Request, to Receiver) error
}

// Request is what a source is asked for.
type Request struct {
	Group        uint32
	Cut          string
	Leaves       []digest.Leaf
	Sizes        []uint64 // bytes of each leaf, as the manifest says: a source that sends more lies. Does not cross the wire.
	MessageBytes int      // of a message, before compression
	Compress     bool     // the link is slow: messages whose sample compresses should be
}

// Receiver takes what a Fetch brings. A Fetch calls it from one goroutine.
type Receiver interface {
	// Arrived is called for each message before it is used: it holds a source back that is faster than the rate.
	Arrived(ctx context.Context, a Arrival) error
	// Leaf takes one whole leaf. The bytes are the source's again when it returns.
	Leaf(ctx context.Context, leaf digest.Leaf, leafBytes []byte) error
}

// Arrival is one message as the link saw it.
type Arrival struct {
	WireBytes int   // as received
	LeafBytes int   // what they were before compression
	WorkNanos int64 // what the source took to read and compress it
}

// SourceInfo is a source and what is known of it before it was asked.
type SourceInfo struct {
	Source
	Leader   bool // bound by Plan.LeaderShare
	SameZone bool // of the target: asked first
}
