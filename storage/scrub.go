package storage

import (
	"context"
	"errors"
)

// Scrub is Inspect in steps over the live shard: each reads about maxBytes (one leaf at least) under a short read
// transaction of its own, so that it holds up no page of the file for long. cursor "" begins; next is the cursor of the
// following step, "" when the whole file was read. A cursor outlives the process; one that cannot be read begins anew.
// The Inspection is of this step alone.
func (s *Shard) Scrub(ctx context.Context, cursor string, maxBytes int64) (next string, r Inspection, err error) {
	return "", Inspection{}, errors.ErrUnsupported
}
