package antientropy

import (
	"context"
	"errors"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
)

// absence is the interruption of an attempt by a replica that is away.
type absence struct {
	node string
	err  error
}

func (a *absence) Error() string { return a.node + ": " + a.err.Error() }
func (a *absence) Unwrap() error { return a.err }

// tries counts the attempts at what is made again when it was interrupted: maxAttempts of them, and as many more as who was
// away for a copy comes back within awayBound. So a check does not miss a replica that another check has repaired meanwhile.
type tries struct {
	attempt int       // the one under way, from 1
	spent   int       // of maxAttempts
	until   time.Time // nobody is waited for any longer; zero: nobody was yet
}

func newTries() *tries { return &tries{attempt: 1, spent: 1} }

func (t *tries) last() bool { return t.spent == maxAttempts }

// patient reports whether who is away can be waited for.
func (t *tries) patient() bool { return t.until.IsZero() || time.Now().Before(t.until) }

// again waits for the next attempt, and reports whether there is one.
func (t *tries) again(ctx context.Context, c *check, interrupted error) bool {
	gone, isAway := errors.AsType[*absence](interrupted)
	switch {
	case isAway:
		if t.until.IsZero() {
			t.until = time.Now().Add(awayBound)
		}
		c.awaitReturn(ctx, gone.node, t.until)
	case t.last():
		return false
	default:
		_ = pause.For(ctx, retryPause<<t.spent)
		t.spent++
	}
	t.attempt++
	return ctx.Err() == nil
}

// awaitReturn waits until a replica is not away any more, for so long at most. Meanwhile the check keeps no seat.
func (c *check) awaitReturn(ctx context.Context, node string, until time.Time) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	c.options.Seat.Leave()
	for wait := awayFirst; pause.For(ctx, wait) == nil; wait = min(2*wait, awayPoll) {
		bounded, cancel := context.WithTimeout(ctx, callBound)
		_, err := c.cluster().Standing(bounded, c.group, node)
		cancel()
		if !errors.Is(err, ErrAway) {
			return
		}
	}
}
