package raftgroup

import (
	"context"
	"fmt"
)

// AwaitApplied returns when this replica has applied the command or configuration
// at index. ErrClosed: what ran it has ended; another instance may stand in its
// place.
func (g *Group) AwaitApplied(ctx context.Context, index uint64) error {
	in, err := g.running()
	if err != nil {
		return err
	}
	for {
		stirs := in.fsm.stirs()
		if in.shard.Applied().Index >= index {
			return nil
		}
		select {
		case <-stirs:
		case <-in.stop:
			return fmt.Errorf("group %d: %w", g.id, ErrClosed)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// stirs is closed when the next entries have been applied.
func (f *fsm) stirs() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stirred == nil {
		f.stirred = make(chan struct{})
	}
	return f.stirred
}

func (f *fsm) stir() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stirred != nil {
		close(f.stirred)
		f.stirred = nil
	}
}
