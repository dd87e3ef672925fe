package storage

import (
	"context"
	"fmt"
	"sync"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// leafSource is what leaves can be read from: a View or a Stage.
type leafSource interface {
	// hash feeds the canonical bytes of a leaf to the hasher, from blocks that pass their checksums: ErrDamaged else.
	hash(ctx context.Context, h *digest.LeafHasher, leaf digest.Leaf) (digest.LeafDigest, error)
}

// Prove is a keyed sum over all leaf bytes of the view: two shards with equal points give the same one, and nobody gives
// it who has not read all of them after the key was chosen.
func (v *View) Prove(ctx context.Context, key []byte) (digest.ID, error) {
	leaves, err := v.Leaves()
	if err != nil {
		return digest.ID{}, fmt.Errorf("prove: %w", err)
	}
	v.readAhead()
	return prove(ctx, key, leaves, func(int) leafSource { return v }, nil)
}

// Prove is the sum that View.Prove gives of a shard with the manifest's leaves, over bytes that are read from disk now: the
// stage is committed, closed and opened again, and the system's copies of stage and base in memory are dropped where that
// is possible (Linux). ErrDamaged when blocks fail their checksums: Damaged says which.
func (a Assembly) Prove(ctx context.Context, key []byte) (digest.ID, error) {
	sources, leaves, err := a.sources()
	if err != nil {
		return digest.ID{}, fmt.Errorf("prove: %w", err)
	}
	if err := a.Stage.reopen(); err != nil {
		return digest.ID{}, fmt.Errorf("prove: %w", err)
	}
	if a.Base != nil {
		a.Base.dropCached()
		a.Base.readAhead()
	}
	return prove(ctx, key, leaves, func(i int) leafSource { return sources[i] }, a.Proven)
}

func prove(ctx context.Context, key []byte, leaves []digest.Leaf, source func(int) leafSource, told func(bytes int64)) (digest.ID, error) {
	keyed := make([]digest.Entry, len(leaves))
	var hashers sync.Pool // one a worker: to make one costs as much garbage as all else of a leaf
	err := parallel(ctx, len(leaves), func(ctx context.Context, i int) error {
		h, again := hashers.Get().(*digest.LeafHasher)
		if again {
			h.Reset(leaves[i], uint32(blocks.FormatVersion))
		} else {
			h = digest.NewKeyedLeafHasher(key, leaves[i], uint32(blocks.FormatVersion))
		}
		defer hashers.Put(h)
		d, err := source(i).hash(ctx, h, leaves[i])
		keyed[i] = digest.Entry{Leaf: leaves[i], LeafDigest: d}
		if told != nil && err == nil {
			told(int64(d.Bytes))
		}
		return err
	})
	if err != nil {
		return digest.ID{}, fmt.Errorf("prove: %w", err)
	}
	return digest.Proof(key, keyed), nil
}

// hash feeds a committed leaf to a hasher.
func (s *Stage) hash(ctx context.Context, h *digest.LeafHasher, leaf digest.Leaf) (d digest.LeafDigest, err error) {
	err = s.file.view("read leaf", func(tx *bolt.Tx) error {
		r := newReader(s.file, tx)
		r.lone = true // what comes out is compared with a manifest
		step, end := s.o.Turns.begin(ctx, ctx.Err)
		defer end()
		d, err = r.hash(step, h, leaf, s.windowNs)
		return err
	})
	return d, err
}

// reopen commits, and opens the file again with nothing of it in memory, as far as the system lets us.
func (s *Stage) reopen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.commit(); err != nil || s.file.unborn { // nothing came from others
		return err
	}
	err := s.file.close()
	if err == nil {
		err = dropCached(s.file.name())
	}
	if err == nil {
		err = s.file.open(false)
	}
	if err != nil {
		return s.fail("reopen stage", err)
	}
	readAhead(s.file.name())
	return nil
}

// dropCached makes the next reads of the view's file come from disk, as far as the system lets us.
func (v *View) dropCached() {
	_ = v.read("drop cached pages", func(*reader) error {
		unmapPages(v.pin.file.db.Info().Data, v.pin.tx.Size())
		return dropCached(v.pin.file.path) // a hint: what cannot be dropped is read as it lies in memory
	})
}

// readAhead has the view's file read ahead of us.
func (v *View) readAhead() {
	_ = v.read("read ahead", func(*reader) error {
		readAhead(v.pin.file.name())
		return nil
	})
}
