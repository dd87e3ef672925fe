package storage

import (
	"context"
	"errors"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// LeafDetail says what a leaf holds, for people.
type LeafDetail struct {
	Series      []Series // in key order, at most as many as asked for
	More        bool     // there are more series
	First, Last int64    // ns since 1970, of the points that can be read; 0, 0: none can
	Unreadable  int      // records that fail their checksums
}

// LeafDetail lists the series of a leaf and the time range of its points, from headers of blocks: damaged ones count as
// unreadable, and do not end it.
func (v *View) LeafDetail(ctx context.Context, leaf digest.Leaf, maxSeries int) (LeafDetail, error) {
	return LeafDetail{}, errors.ErrUnsupported
}
