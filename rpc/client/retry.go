package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

// Bounds of the pauses between attempts.
const (
	firstPause = 10 * time.Millisecond
	maxPause   = 500 * time.Millisecond
)

// errorOf makes an *api.Error of what a call returned: the node's problem
// document where there is one. sent says whether the node may have carried
// the request out.
func errorOf(err error, sent bool) *api.Error {
	if e, ok := errors.AsType[*api.Error](err); ok {
		return e
	}
	s := status.Convert(err)
	for _, d := range s.Details() {
		if p, ok := d.(*pb.Problem); ok {
			return pb.ErrorOf(p)
		}
	}
	switch {
	case sent:
		return api.E(api.OutcomeUnknown, "read back, or repeat with the same timestamps", "the answer was lost").Because(err)
	case s.Code() == codes.Unimplemented:
		return api.E(api.Unimplemented, "use an SDK of the node's version", "the node does not know this call").Because(err)
	case s.Code() == codes.Canceled:
		return api.E(api.Cancelled, "", "the call was cancelled").Because(err)
	case s.Code() == codes.InvalidArgument, s.Code() == codes.ResourceExhausted:
		return api.E(api.InvalidArgument, "", "the call was refused").Because(err)
	}
	return api.E(api.NotReady, "retry; see that the node runs", "the node cannot be reached").Because(err)
}

// do repeats a call that changes nothing, or that was certainly not carried
// out, on one connection after the other.
func (c *Client) do(ctx context.Context, changes bool, call func(context.Context, *conn) error) error {
	ctx, cancel := c.bounded(ctx)
	defer cancel()
	for attempt := 0; ; attempt++ {
		err := call(ctx, c.next())
		if err == nil {
			return nil
		}
		e := errorOf(err, changes && mayHaveRun(err))
		again := e.Code.Retryable() || !changes && e.Code.Unknown()
		if !again || c.o.RetryFor < 0 || !backOff(ctx, attempt) {
			return e
		}
	}
}

// doRead is do for a read: RetryFor bounds its repetitions, not the time that an
// answer takes.
func (c *Client) doRead(ctx context.Context, call func(*conn) error) error {
	begun := time.Now()
	for attempt := 0; ; attempt++ {
		err := call(c.nextAwake())
		if err == nil {
			return nil
		}
		e := errorOf(err, false)
		if again := e.Code.Retryable() || e.Code.Unknown(); !again || c.o.RetryFor < 0 {
			return e
		}
		if attempt == 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, begun.Add(c.o.RetryFor))
			defer cancel()
		}
		if !backOff(ctx, attempt) {
			return e
		}
	}
}

// mayHaveRun reports whether a failed call may have reached the node. A
// status with a problem document is the node's own word.
func mayHaveRun(err error) bool {
	switch status.Code(err) {
	case codes.DeadlineExceeded, codes.Canceled, codes.Unavailable, codes.Unknown, codes.Internal:
		return true
	}
	return false
}

// backOff waits before the next attempt; false when ctx ends first.
func backOff(ctx context.Context, attempt int) bool {
	d := maxPause
	if attempt < 6 {
		d = firstPause << attempt
	}
	return pause.For(ctx, d/2+rand.N(d/2)) == nil
}
