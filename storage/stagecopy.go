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
		b, err := base.LeafBytes(ctx, leaves[i].Leaf)
		if err == nil {
			err = s.Put(b, leaves[i])
		}
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
