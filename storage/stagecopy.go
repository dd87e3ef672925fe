package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// CopyFrom puts leaves of a local base into the stage. Those that the base cannot give, since they differ or are damaged
// there, come back as failed: they have to be fetched.
func (s *Stage) CopyFrom(ctx context.Context, base *View, leaves []digest.Entry) (failed []digest.Entry, err error) {
	bad := make([]bool, len(leaves))
	err = parallel(ctx, len(leaves), func(ctx context.Context, i int) error {
		if s.has(leaves[i]) {
			return nil
		}
		err := s.copyLeaf(ctx, base, leaves[i])
		bad[i] = errors.Is(err, ErrWrongContent) || errors.Is(err, ErrDamaged) && s.file.damaged.Load() == nil
		if bad[i] {
			base.distrust(leaves[i].Leaf)
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("copy from the base: %w", err)
	}
	return Assembly{Manifest: leaves}.picked(bad), nil
}

// copyLeaf copies one leaf, through memory that is lent.
func (s *Stage) copyLeaf(ctx context.Context, base *View, e digest.Entry) error {
	buf := recordBuffers.Get().(*[]byte)
	defer recordBuffers.Put(buf)
	b, err := base.AppendLeaf(ctx, (*buf)[:0], e.Leaf)
	if err != nil {
		return err
	}
	*buf = b
	return s.Put(b, e)
}
