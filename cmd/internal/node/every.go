package node

import (
	"context"
	"time"
)

// every calls look at once and then after each pause, until ctx ends.
func every(ctx context.Context, pause time.Duration, look func()) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		look()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
