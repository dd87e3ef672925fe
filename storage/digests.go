package storage

import (
	"encoding/binary"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// digests are leaf digests that were computed but are not in the file yet: they are written with the next flush, so that
// a check costs no commit of its own. The shard's lock guards them.
type digests struct {
	pending map[digest.Leaf]knownDigest
	// lastTouch is the index of the last flush that wrote a leaf, kept while there are views: a digest computed from an
	// older view must not be taken for the leaf's.
	lastTouch map[digest.Leaf]uint64
}

// knownDigest holds for every view from index on.
type knownDigest struct {
	digest.LeafDigest
	index uint64
}

// maxPending bounds pending; what does not fit is computed again by the next check.
const maxPending = 8192

func newDigests() digests {
	return digests{pending: make(map[digest.Leaf]knownDigest), lastTouch: make(map[digest.Leaf]uint64)}
}

// offer takes digests computed from a view at an index.
func (d *digests) offer(entries []digest.Entry, index uint64) {
	for _, e := range entries {
		if d.lastTouch[e.Leaf] <= index && len(d.pending) < maxPending {
			d.pending[e.Leaf] = knownDigest{e.LeafDigest, index}
		}
	}
}

// at is the digest of a leaf in a view at an index, if it is known.
func (d *digests) at(leaf digest.Leaf, index uint64) (digest.LeafDigest, bool) {
	k, ok := d.pending[leaf]
	return k.LeafDigest, ok && k.index <= index
}

// ready is a copy of what waits to be written.
func (d *digests) ready() map[digest.Leaf]knownDigest {
	ready := make(map[digest.Leaf]knownDigest, len(d.pending))
	for leaf, k := range d.pending {
		ready[leaf] = k
	}
	return ready
}

// written forgets what a commit has brought into the file.
func (d *digests) written(ready map[digest.Leaf]knownDigest) {
	for leaf, k := range ready {
		if d.pending[leaf] == k {
			delete(d.pending, leaf)
		}
	}
}

// touched forgets the digests of leaves that a flush at an index has written.
func (d *digests) touched(leaves map[digest.Leaf]bool, index uint64, views bool) {
	for leaf := range leaves {
		delete(d.pending, leaf)
		if views {
			d.lastTouch[leaf] = index
		}
	}
}

// untouch is called when there are no views left.
func (d *digests) untouch() { clear(d.lastTouch) }

// putDigests writes digests into the bucket, but for the leaves that this transaction touches.
func (w *headWrite) putDigests(ready map[digest.Leaf]knownDigest) error {
	for leaf, k := range ready {
		if w.touched[leaf] {
			continue
		}
		if err := w.putDigest(leaf, k.LeafDigest, k.index); err != nil {
			return err
		}
	}
	return nil
}

// putDigest writes one record of the bucket.
func (w *headWrite) putDigest(leaf digest.Leaf, d digest.LeafDigest, index uint64) error {
	return w.digests.Put(digestRecord(leaf, d, index))
}

func digestRecord(leaf digest.Leaf, d digest.LeafDigest, index uint64) (key, sealed []byte) {
	key = appendLeaf(nil, leaf)
	value := append(make([]byte, 0, digestBytes+crcBytes), d.ID[:]...)
	value = binary.LittleEndian.AppendUint64(value, d.Points)
	value = binary.LittleEndian.AppendUint64(value, d.Bytes)
	value = binary.LittleEndian.AppendUint64(value, index)
	return key, seal(key, value)
}

// renewDigests has the flusher remove records that cannot be read.
func (s *Shard) renewDigests(leaves []digest.Leaf) {
	s.mu.Lock()
	for _, leaf := range leaves {
		if len(s.renew) < maxPending {
			s.renew[leaf] = true
		}
	}
	s.mu.Unlock()
	s.poke()
}

// renewNow is the flusher's part of it. A record that was written since is right, and goes too: it is computed again.
func (s *Shard) renewNow() {
	s.mu.Lock()
	leaves := s.renew
	s.renew = make(map[digest.Leaf]bool)
	s.mu.Unlock()
	if len(leaves) == 0 {
		return
	}
	s.write("renew digests", func(w *headWrite) error {
		for leaf := range leaves {
			if err := w.digests.Delete(appendLeaf(nil, leaf)); err != nil {
				return err
			}
		}
		return nil
	})
}

const digestBytes = 32 + 3*8

// parseDigest reads a record of the digests bucket.
func parseDigest(key, sealed []byte) (d digest.LeafDigest, index uint64, err error) {
	v, err := unseal(key, sealed)
	if err != nil {
		return d, 0, err
	}
	if len(v) != digestBytes {
		return d, 0, errShort
	}
	copy(d.ID[:], v)
	d.Points = binary.LittleEndian.Uint64(v[32:])
	d.Bytes = binary.LittleEndian.Uint64(v[40:])
	return d, binary.LittleEndian.Uint64(v[48:]), nil
}

// storedDigest is the digest of a leaf in a transaction. A record that fails its CRC counts as absent: it is computed
// again from blocks that have their own.
func storedDigest(f *file, tx *bolt.Tx, leaf digest.Leaf) (digest.LeafDigest, bool) {
	key := appendLeaf(nil, leaf)
	sealed := f.bucket(tx, bucketDigests).Get(key)
	if sealed == nil {
		return digest.LeafDigest{}, false
	}
	d, _, err := parseDigest(key, sealed)
	return d, err == nil
}
