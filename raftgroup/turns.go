package raftgroup

import "context"

// turns is a mutex for holders that wait for others (Raft, a disk, a peer)
// while they have it. Goroutines queue for it on a channel, so that tests in
// virtual time see them wait; for a sync.Mutex the time would stand still.
type turns chan struct{}

func newTurns() turns { return make(turns, 1) }

// Lock waits for its turn.
func (t turns) Lock() { t <- struct{}{} }

// lock is Lock for who gives up when ctx ends.
func (t turns) lock(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Unlock ends it.
func (t turns) Unlock() { <-t }
