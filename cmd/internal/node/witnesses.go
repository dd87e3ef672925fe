package node

import (
	"context"
	"sync"
)

// witnesses have the replicas of a group tell their roots at the cut of a copy.
// One a group waits at most, the newest, so that none is ever turned away as
// errands are: nothing looks again for a cut that nobody was asked about.
type witnesses struct {
	ask  func(ctx context.Context, group uint32, cut, except string)
	wake chan struct{} // capacity 1

	mu      sync.Mutex
	waiting map[uint32]copyCut // guarded by mu; by group
}

// copyCut is the cut of a copy to the node except.
type copyCut struct{ cut, except string }

func newWitnesses(ask func(ctx context.Context, group uint32, cut, except string)) *witnesses {
	return &witnesses{ask: ask, wake: make(chan struct{}, 1), waiting: make(map[uint32]copyCut)}
}

// add asks for a group's witnesses, and does not wait.
func (w *witnesses) add(group uint32, cut, except string) {
	w.mu.Lock()
	w.waiting[group] = copyCut{cut, except}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run asks, of all groups side by side, until ctx ends; it waits for all of it.
func (w *witnesses) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		w.mu.Lock()
		now := w.waiting
		w.waiting = make(map[uint32]copyCut)
		w.mu.Unlock()
		for group, c := range now {
			wg.Go(func() { w.ask(ctx, group, c.cut, c.except) })
		}
	}
}
