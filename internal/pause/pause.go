// Package pause waits. Its only noun is the pause between two tries of the same thing, which ends early with the context of
// whoever asked for that. It knows nothing of why one waits, nor how long that should be: each caller names its own pauses.
package pause

import (
	"context"
	"time"
)

// For waits d, or gives the reason why ctx ended before. A pause of nothing asks ctx alone.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
