package storage

import (
	"bytes"
	"context"

	"github.com/flotilla-db/flotilla/storage/blocks"
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
func (v *View) LeafDetail(ctx context.Context, leaf digest.Leaf, maxSeries int) (d LeafDetail, err error) {
	alive := v.alive(ctx)
	err = v.read("leaf detail", func(r *reader) error {
		var last []byte
		any := false
		return r.records(leaf, func(k, value []byte) error {
			_, series, _, err := splitPart(k)
			if err != nil {
				d.Unreadable++
				return nil
			}
			if !bytes.Equal(series, last) {
				if err := alive(); err != nil {
					return err
				}
				last = append(last[:0], series...)
				if name, err := ParseKey(series); err == nil && len(d.Series) < maxSeries {
					d.Series = append(d.Series, name)
				} else {
					d.More = true
				}
			}
			block, err := unseal(k, value)
			var h blocks.Header
			if err == nil {
				h, err = blocks.Peek(block)
			}
			if err != nil {
				d.Unreadable++
				return nil
			}
			if !any {
				any, d.First, d.Last = true, h.First, h.Last
			}
			d.First, d.Last = min(d.First, h.First), max(d.Last, h.Last)
			return nil
		})
	})
	return d, err
}

// records yields the records of a leaf as they lie there, unchecked.
func (r *reader) records(leaf digest.Leaf, yield func(k, v []byte) error) error {
	prefix := appendLeaf(nil, leaf)
	for k, v := r.cursor.Seek(prefix); k != nil && bytes.HasPrefix(k, prefix); k, v = r.cursor.Next() {
		if err := yield(k, v); err != nil {
			return err
		}
	}
	return nil
}
