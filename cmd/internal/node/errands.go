package node

import (
	"context"
	"sync"
)

// maxErrands bounds what waits to be begun; events that find it full are
// dropped, since each has a loop that looks again by itself.
const maxErrands = 64

// errands are short pieces of work that an event asks for and that must not
// hold up whoever saw the event.
type errands struct{ queue chan func(context.Context) }

func newErrands() *errands { return &errands{queue: make(chan func(context.Context), maxErrands)} }

// send asks for a piece of work and reports whether there was room for it.
func (e *errands) send(work func(context.Context)) bool {
	select {
	case e.queue <- work:
		return true
	default:
		return false
	}
}

// run does what is sent, side by side, until ctx ends; it waits for all of it.
func (e *errands) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case work := <-e.queue:
			wg.Go(func() { work(ctx) })
		}
	}
}
