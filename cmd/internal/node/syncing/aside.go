package syncing

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// asideLimit bounds the wait until a replica that was asked to be copied anew
	// leads no more.
	asideLimit = 10 * time.Second
	// asidePoll is the pause between two tries to hand its lead over.
	asidePoll = 100 * time.Millisecond
)

// StepAside implements resync.Leading: who leads copies from nobody.
func (r replica) StepAside(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, asideLimit)
	defer cancel()
	last := errors.New("the handovers have not ended")
	for r.group.IsLeader() {
		if err := r.group.StepDown(ctx); err != nil && ctx.Err() == nil {
			last = err
		}
		timer := time.NewTimer(asidePoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("it leads the group, and nobody has taken that over in %s: %w", asideLimit, last)
		}
	}
	return nil
}
