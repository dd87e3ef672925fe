package storage

import (
	"errors"

	bolt "go.etcd.io/bbolt"
)

// A series that is deleted while records beside it cannot be read stays in the index of series: what is read there may be its
// own part, under a key that has gone bad. The same where its own part has such a key, which no delete finds. When leaves are
// taken back, repaired or acquitted, the flusher looks which series of the index have no part any more, a few at a time, and
// removes them. The index is in no digest: without this, nobody would see that it differs from that of another replica.

// settleStep is how many series are looked at before the flusher sees to its other work: two seeks for each window before
// the first one that a series has parts in.
const settleStep = 16

// doubtIndex has the flusher look at the index, from its beginning.
func (s *Shard) doubtIndex() {
	s.mu.Lock()
	s.doubted = true
	s.mu.Unlock()
	s.poke()
}

// settleSome is the next step of it.
func (s *Shard) settleSome() {
	s.mu.Lock()
	if s.doubted {
		s.doubted, s.settling, s.settled = false, true, nil
	}
	s.mu.Unlock()
	if !s.settling {
		return
	}
	gone, err := s.withoutParts(settleStep)
	switch {
	case err != nil:
		s.writeFailed(err)
	case len(gone) > 0:
		s.write("settle index", func(w *headWrite) error {
			for _, series := range gone {
				w.emptied[series] = true
			}
			return w.tidyIndexes()
		})
	}
}

// withoutParts looks at the next series of the index, and gives those that have no parts. Those of which nobody knows are
// left to the next time: what is bad there is not trusted now.
func (s *Shard) withoutParts(n int) (gone []string, err error) {
	err = s.file.view("look at index", func(tx *bolt.Tx) error {
		r := newReader(s.file, tx)
		c := s.file.bucket(tx, bucketSeries).Cursor()
		k, _ := c.Seek(s.settled)
		for ; k != nil && n > 0; k, _ = c.Next() {
			n--
			_, left, err := r.seekUp(WindowOf(MinTime, s.windowNs), SlotOf(k), k)
			var d *DamageError
			if err != nil && (!errors.As(err, &d) || d.Structure) {
				return err
			}
			if err == nil && !left {
				gone = append(gone, string(k))
			}
		}
		s.settling, s.settled = k != nil, append([]byte(nil), k...)
		return nil
	})
	return gone, err
}
