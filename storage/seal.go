package storage

import (
	"context"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Seal makes the stage a complete shard file, in its place: what waits is written, leaves that the manifest lacks go,
// identity, state and digests are set, in one transaction; a stage that was never committed is written as a whole file, and
// synced once. ErrIncomplete when leaves of the manifest are not in the stage. Doing it again with the same arguments changes
// nothing, and a sealed stage can be opened, filled and sealed again. Close it before the file is renamed.
func (s *Stage) Seal(identity Identity, state []byte, manifest []digest.Entry) error {
	t, err := s.takeover(identity, state)
	if err != nil {
		return fmt.Errorf("seal stage: %w", err)
	}
	manifest = inLeafOrder(manifest)
	for _, e := range manifest {
		if !s.has(e) {
			return fmt.Errorf("seal stage: %w: %v is one", ErrIncomplete, e.Leaf)
		}
	}
	_, end := s.o.Turns.begin(context.Background(), nil)
	defer end()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if done, err := s.isSealed(identity, t, manifest); done || err != nil {
		return err
	}
	list := s.waitingLeaves()
	sums, err := s.sealFile(list, identity, t, manifest)
	if err != nil {
		return s.fail("seal stage", err)
	}
	s.written(list)
	s.totals, s.sealed, s.bytes = sums, true, 0
	clear(s.leaves)
	for _, e := range manifest {
		s.leaves[e.Leaf] = e.LeafDigest
		s.bytes += int64(e.Bytes)
	}
	return nil
}

// sealFile makes the file a shard's. The caller holds the lock.
func (s *Stage) sealFile(list []*stagedLeaf, identity Identity, t takeover, manifest []digest.Entry) (totals, error) {
	if c := s.whole(identity, t, manifest); c != nil {
		err := s.file.make("seal stage", c.write)
		return c.totals, err
	}
	var w *headWrite
	err := s.file.update("seal stage", func(tx *bolt.Tx) error {
		w = newHeadWrite(s.file, tx, s.totals, s.windowNs, 0)
		for _, l := range list {
			if err := w.putLeaf(l); err != nil {
				return err
			}
		}
		if err := w.removeOthers(manifest); err != nil {
			return err
		}
		if err := w.sealTo(tx, identity, t, manifest); err != nil {
			return err
		}
		if tx.Bucket(bucketStage) == nil {
			return nil
		}
		return s.file.dropBucket(tx, bucketStage)
	})
	if err != nil {
		return totals{}, err
	}
	return w.totals, nil
}

// takeover decodes a state for the stage's file.
func (s *Stage) takeover(identity Identity, state []byte) (takeover, error) {
	t, err := parseTakeover(state)
	if err == nil {
		err = s.belongs(identity, t.window)
	}
	return t, err
}

// isSealed reports whether the file is already what Seal would make. The caller holds the lock.
func (s *Stage) isSealed(identity Identity, t takeover, manifest []digest.Entry) (done bool, err error) {
	if !s.sealed || len(s.waiting) > 0 || len(manifest) != len(s.leaves) {
		return false, nil
	}
	err = s.file.view("read stage", func(tx *bolt.Tx) error {
		if done, err = isAt(s.file, tx, identity, t); err != nil {
			return s.file.damage(err)
		}
		return nil
	})
	return done, err
}

// isAt reports whether a shard file has that identity and state. Records that cannot be read are damage.
func isAt(f *file, tx *bolt.Tx, identity Identity, want takeover) (bool, error) {
	meta := f.bucket(tx, bucketMeta)
	id, window, err := getIdentity(meta)
	if err != nil {
		return false, err
	}
	st, _, err := getState(meta)
	if err != nil {
		return false, err
	}
	has := takeover{st, window}
	return id == identity && string(has.encode()) == string(want.encode()), nil
}

// inLeafOrder is the manifest in leaf order; the given one is not changed.
func inLeafOrder(manifest []digest.Entry) []digest.Entry {
	order := func(a, b digest.Entry) int { return a.Compare(b.Leaf) }
	if !slices.IsSortedFunc(manifest, order) {
		manifest = slices.SortedFunc(slices.Values(manifest), order)
	}
	return manifest
}

// removeOthers removes the leaves that the manifest lacks, and all their digests.
func (w *headWrite) removeOthers(manifest []digest.Entry) error {
	others, err := w.reader.others(manifest)
	if err != nil {
		return err
	}
	for _, leaf := range others {
		if err := w.removeLeaf(leaf); err != nil {
			return err
		}
	}
	return nil
}

// others lists the leaves that a manifest, in leaf order, lacks.
func (r *reader) others(manifest []digest.Entry) (others []digest.Leaf, err error) {
	err = r.leaves(func(leaf digest.Leaf) error {
		if _, ok := slices.BinarySearchFunc(manifest, leaf, func(e digest.Entry, l digest.Leaf) int { return e.Compare(l) }); !ok {
			others = append(others, leaf)
		}
		return nil
	})
	return others, err
}

// sealTo sets all that a shard file holds beside points, after its leaves have become those of the manifest.
func (w *headWrite) sealTo(tx *bolt.Tx, identity Identity, t takeover, manifest []digest.Entry) error {
	if err := w.tidyIndexes(); err != nil {
		return err
	}
	if err := w.recount(); err != nil {
		return err
	}
	for _, e := range manifest {
		if err := w.putDigest(e.Leaf, e.LeafDigest, t.applied.Index); err != nil {
			return err
		}
	}
	if _, err := tx.CreateBucketIfNotExists(bucketMeta); err != nil {
		return err
	}
	meta := w.file.bucket(tx, bucketMeta)
	if err := putIdentity(meta, identity, t.window); err != nil {
		return err
	}
	return putState(meta, &t.state, w.totals)
}
