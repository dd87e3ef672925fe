package antientropy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
)

// hold makes a cut, and keeps its views alive until end, which ends them whatever became of ctx. The context that it
// gives ends, too, when the views are lost.
func (c *check) hold(ctx context.Context) (held context.Context, end func(), err error) {
	bounded, cancel := context.WithTimeout(ctx, callBound)
	id, index, err := c.cluster().Cut(bounded, c.group)
	cancel()
	if err != nil {
		if id != "" { // it may commit yet
			c.endCut(ctx, id)
		}
		return nil, nil, fmt.Errorf("no cut: %w", err)
	}
	c.cut, c.place = id, Place{Index: index}
	held, lost := context.WithCancelCause(ctx)
	var renewal sync.WaitGroup
	renewal.Go(func() { c.renew(held, id, lost) })
	var once sync.Once
	return held, func() {
		once.Do(func() {
			lost(nil)
			renewal.Wait()
			c.endCut(ctx, id)
		})
	}, nil
}

// renew prolongs the views until ctx ends. That a renewal fails once is no reason to give up; that the views are gone is.
func (c *check) renew(ctx context.Context, id string, lost context.CancelCauseFunc) {
	ticker := time.NewTicker(RenewEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		bounded, cancel := context.WithTimeout(ctx, callBound)
		err := c.cluster().Renew(bounded, c.group, id)
		cancel()
		switch {
		case err == nil || ctx.Err() != nil:
		case passes(err):
			lost(fmt.Errorf("prolong the cut: %w", err))
			return
		default:
			c.logger.Debug("the views of a check were not prolonged", "cut", id, "error", err)
		}
	}
}

// endCut ends the views, whatever became of ctx.
func (c *check) endCut(ctx context.Context, id string) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), endBound)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := c.cluster().EndCut(bounded, c.group, id)
		if err == nil {
			return
		}
		if attempt == maxAttempts || pause.For(bounded, retryPause<<attempt) != nil {
			c.logger.Warn("the views of a check end by their time only", "cut", id, "error", err)
			return
		}
	}
}
