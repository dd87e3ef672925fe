package syncing

import (
	"context"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/snapshot/transfer"
)

// viewWait bounds how long a source that is behind is waited for to reach a cut.
const viewWait = 10 * time.Second

// leafViews opens this node's replicas for those who copy from them.
type leafViews struct{ config *Config }

// View implements transfer.Views.
func (v leafViews) View(ctx context.Context, group uint32, cutID string) (transfer.LeafReader, func(), error) {
	g, err := v.config.Group(group)
	if err != nil {
		return nil, nil, fmt.Errorf("group %d is not held here: %w", group, transfer.ErrNotServed)
	}
	if view, err := g.RecordView(cutID); err == nil {
		return view, func() {}, nil
	}
	if s := g.Status(); !s.Running || !s.State.Trusted() {
		return nil, nil, fmt.Errorf("replica of group %d is %s: %s: %w", group, s.State, s.Why, transfer.ErrNotServed)
	}
	shard := g.Shard()
	if shard == nil {
		return nil, nil, fmt.Errorf("group %d: %w", group, transfer.ErrNotServed)
	}
	ctx, cancel := context.WithTimeout(ctx, viewWait)
	defer cancel()
	view, err := shard.AwaitView(ctx, cutID)
	if err != nil {
		return nil, nil, err
	}
	return view, func() { _ = view.Close() }, nil
}
