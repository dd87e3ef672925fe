package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Commit brings everything put to disk.
func (s *Stage) Commit() error {
	_, end := s.o.Turns.begin(context.Background(), nil)
	defer end()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commit()
}

// commit writes what waits, in key order: sources give the newest windows first, and bbolt is slow and sparse when keys
// come in any other order than ascending. The caller holds the lock.
func (s *Stage) commit() error {
	if s.err != nil || len(s.waiting) == 0 {
		return s.err
	}
	list := s.waitingLeaves()
	err := s.write("commit stage", func(w *headWrite) error {
		for _, l := range list {
			if err := w.putLeaf(l); err != nil {
				return err
			}
		}
		if err := w.tidyIndexes(); err != nil {
			return err
		}
		for _, l := range list {
			if err := w.putDigest(l.Leaf, l.LeafDigest, 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.written(list)
	return nil
}

// waitingLeaves are those that wait for a commit, in key order. The caller holds the lock.
func (s *Stage) waitingLeaves() []*stagedLeaf {
	list := make([]*stagedLeaf, 0, len(s.waiting))
	for _, l := range s.waiting {
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b *stagedLeaf) int { return a.Compare(b.Leaf) })
	return list
}

// written ends the wait of leaves that were committed. The caller holds the lock.
func (s *Stage) written(list []*stagedLeaf) {
	for _, l := range list {
		l.release()
	}
	clear(s.waiting)
	s.pending = 0
}

// Drop removes leaves, those that are not there too. What is dropped may be damaged, so the rest is counted anew.
func (s *Stage) Drop(leaves ...digest.Leaf) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil || len(leaves) == 0 {
		return s.err
	}
	err := s.write("drop leaves", func(w *headWrite) error {
		for _, leaf := range leaves {
			if err := w.removeLeaf(leaf); err != nil {
				return err
			}
		}
		w.uncounted = true
		return w.tidyIndexes()
	})
	if err != nil {
		return err
	}
	for _, leaf := range leaves {
		if l := s.waiting[leaf]; l != nil {
			s.pending -= int64(l.Bytes)
			delete(s.waiting, leaf)
		}
		s.forget(leaf)
	}
	return nil
}

// write runs a transaction on a stage, which a sealed one becomes again by it. A failure ends the stage: the outcome of a
// commit that failed is unknown. The caller holds the lock.
func (s *Stage) write(op string, fn func(*headWrite) error) error {
	if s.file.unborn {
		if err := s.open(); err != nil {
			return s.fail(op, err)
		}
	}
	var w *headWrite
	err := s.file.update(op, func(tx *bolt.Tx) error {
		w = newHeadWrite(s.file, tx, s.totals, s.windowNs, 0)
		if _, err := tx.CreateBucketIfNotExists(bucketStage); err != nil {
			return err
		}
		if tx.Bucket(bucketMeta) != nil {
			if err := s.file.dropBucket(tx, bucketMeta); err != nil {
				return err
			}
		}
		if err := fn(w); err != nil {
			return err
		}
		if err := w.recount(); err != nil {
			return err
		}
		return s.putHead(s.file.bucket(tx, bucketStage), w.totals)
	})
	if err != nil {
		return s.fail(op, err)
	}
	s.totals, s.sealed = w.totals, false
	return nil
}

// fail makes an error of a write final. The caller holds the lock.
func (s *Stage) fail(op string, err error) error {
	if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrStaging) {
		err = errors.Join(ErrStaging, err)
	}
	s.err = fmt.Errorf("%s %s: %w", op, s.o.Path, err)
	return s.err
}

// putLeaf puts the records of a leaf in place of those that the file has.
func (w *headWrite) putLeaf(l *stagedLeaf) error {
	if err := w.removeLeaf(l.Leaf); err != nil {
		return err
	}
	var last []byte
	for i := range l.parts {
		p := &l.parts[i]
		if err := w.blocks.Put(p.key, p.value); err != nil {
			return err
		}
		w.totals.count(p)
		if series := p.series(); !bytes.Equal(series, last) {
			last = series
			if len(w.emptied) > 0 {
				delete(w.emptied, string(series))
			}
			if w.series.Get(series) == nil {
				w.added = append(w.added, series)
			}
		}
	}
	return nil
}

// addAdded enters the new series of putLeaf into the index, in key order: bbolt keeps a transaction's new keys in one
// array, and each that comes before others moves them all.
func (w *headWrite) addAdded() error {
	slices.SortFunc(w.added, bytes.Compare)
	w.added = slices.CompactFunc(w.added, bytes.Equal)
	for _, series := range w.added {
		if err := w.series.Put(series, seal(series, nil)); err != nil {
			return err
		}
	}
	w.totals.series += uint64(len(w.added))
	w.added = nil
	return nil
}

// removeLeaf removes all parts of a leaf, unreadable ones too: then the totals have to be counted anew.
func (w *headWrite) removeLeaf(leaf digest.Leaf) error {
	prefix := appendLeaf(nil, leaf)
	var keys [][]byte
	c := w.blocks.Cursor()
	for k, v := c.Seek(prefix); bytes.HasPrefix(k, prefix); k, v = c.Next() {
		_, series, _, err := splitPart(k)
		if err != nil {
			return w.file.damage(fmt.Errorf("key %x: %w", k, err))
		}
		keys = append(keys, slices.Clone(k))
		w.emptied[string(series)] = true
		w.totals.parts--
		p, err := w.reader.part(k, v)
		if err != nil {
			w.uncounted = true
			continue
		}
		w.totals.rows -= uint64(p.header.Rows)
		w.totals.blockBytes -= uint64(len(p.block))
	}
	for _, k := range keys {
		if err := w.blocks.Delete(k); err != nil {
			return err
		}
	}
	if k, _ := c.Seek(prefix); bytes.HasPrefix(k, prefix) {
		return w.file.damage(fmt.Errorf("key %x is there but not found", k))
	}
	w.touched[leaf] = true
	return nil
}

// recount makes the totals right after unreadable parts were removed, whose rows nobody knows.
func (w *headWrite) recount() error {
	if !w.uncounted {
		return nil
	}
	t := totals{series: w.totals.series}
	err := w.blocks.each(func(k, v []byte) error {
		t.parts++
		if p, err := w.reader.part(k, v); err == nil { // else it is counted when it has gone, too
			t.rows += uint64(p.header.Rows)
			t.blockBytes += uint64(len(p.block))
		}
		return nil
	})
	w.totals = t
	return err
}
