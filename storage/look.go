package storage

import (
	"context"
	"fmt"
)

// Look gives a view of what is applied now, without a cut: everything applied is flushed first, and the view shows the
// file at that moment or a little later (View.Index says where). It belongs to the caller alone, who closes it: the file
// grows meanwhile, and when Options.MaxViewBytes were written under it, or the shard closes, it ends by itself
// (ErrNotPinned).
func (s *Shard) Look(ctx context.Context) (*View, error) {
	if _, err := s.Flush(ctx); err != nil {
		return nil, fmt.Errorf("look: %w", err)
	}
	tx, meta, err := s.file.beginKnown()
	if err != nil {
		return nil, fmt.Errorf("look: %w", err)
	}
	p := &pin{file: s.file, tx: tx, meta: meta}
	err = s.file.guard("look", func() error {
		st, _, err := getState(s.file.bucket(tx, bucketMeta))
		if err != nil {
			return s.file.damage(err)
		}
		p.pos = st.applied
		return nil
	})
	if err != nil {
		p.end()
		return nil, fmt.Errorf("look: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		p.end()
		return nil, fmt.Errorf("look: %w", s.err)
	}
	s.looks[p] = true
	return &View{shard: s, pin: p, own: true}, nil
}
