package storage

import (
	"context"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// CopyFrom puts leaves of a local base into the stage. Those that the base cannot give, since they differ or are damaged
// there, come back as failed: they have to be fetched.
func (s *Stage) CopyFrom(ctx context.Context, base *View, leaves []digest.Entry) (failed []digest.Entry, err error) {
	return nil, ErrStaging
}
