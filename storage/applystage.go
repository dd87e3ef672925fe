package storage

import (
	"context"
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// MaxInPlaceBytes bounds the leaf bytes that ApplyStage takes: its one transaction lies in memory until it commits. For
// more, copy the equal leaves into the stage (CopyFrom) and Seal it.
const MaxInPlaceBytes = 16 << 20

// ApplyStage brings a closed shard to the manifest in one transaction: leaves of the stage in, leaves that the manifest
// lacks out, then identity and state. Doing it again changes nothing. ErrIncomplete, before anything is changed, when
// stage and shard together do not have the manifest; ErrTooLarge beyond MaxInPlaceBytes; ErrDamaged when the shard's file
// cannot be worked on: Seal a stage with everything then. ErrStorage is an unknown outcome: do it again.
func ApplyStage(shardPath string, s *Stage, identity Identity, state []byte, manifest []digest.Entry) error {
	t, err := s.takeover(identity, state)
	if err != nil {
		return fmt.Errorf("apply stage: %w", err)
	}
	if _, err := os.Stat(shardPath); err != nil {
		return fmt.Errorf("apply stage: %w", err)
	}
	f, err := openFile(shardPath, mapBytes(s.o.InitialMmapSize), false, nil)
	if err != nil {
		return fmt.Errorf("apply stage: %w", err)
	}
	a := inPlace{file: f, stage: s, identity: identity, takeover: t, manifest: inLeafOrder(manifest)}
	if err := errors.Join(a.run(), f.close()); err != nil {
		return fmt.Errorf("apply stage: %w", err)
	}
	return nil
}

// inPlace is one ApplyStage.
type inPlace struct {
	file     *file
	stage    *Stage
	identity Identity
	takeover takeover
	manifest []digest.Entry

	totals totals        // of the file as it is
	staged []*stagedLeaf // what comes from the stage
}

func (a *inPlace) run() error {
	done := false
	err := a.file.view("read shard", func(tx *bolt.Tx) (err error) {
		if err := a.check(tx); err != nil {
			return err
		}
		if done, err = a.done(tx); done || err != nil {
			return err
		}
		return a.plan(tx)
	})
	if err != nil || done {
		return err
	}
	return a.file.update("apply stage", func(tx *bolt.Tx) error {
		w := newHeadWrite(a.file, tx, a.totals, a.stage.windowNs, 0)
		if err := w.removeOthers(a.manifest); err != nil {
			return err
		}
		for _, l := range a.staged {
			if err := w.putLeaf(l); err != nil {
				return err
			}
		}
		return w.sealTo(tx, a.identity, a.takeover, a.manifest)
	})
}

// check makes sure that the shard is the group's.
func (a *inPlace) check(tx *bolt.Tx) error {
	for _, name := range [][]byte{bucketMeta, bucketBlocks, bucketDigests, bucketSeries} {
		if tx.Bucket(name) == nil {
			return a.file.damage(fmt.Errorf("bucket %s is missing", name))
		}
	}
	meta := a.file.bucket(tx, bucketMeta)
	format, err := numberMeta(meta, metaFormat)
	if err == nil && format != fileFormat {
		return fmt.Errorf("%w: layout version %d, this binary reads %d", ErrIdentity, format, fileFormat)
	}
	if err != nil {
		return a.file.damage(err)
	}
	id, window, err := getIdentity(meta)
	if err == nil {
		a.totals, err = getTotals(meta)
	}
	if err != nil {
		return a.file.damage(err)
	}
	return a.stage.belongs(id, window)
}

// done reports whether the transaction was committed before.
func (a *inPlace) done(tx *bolt.Tx) (bool, error) {
	at, err := isAt(a.file, tx, a.identity, a.takeover)
	if err != nil {
		return false, a.file.damage(err)
	}
	if !at {
		return false, nil
	}
	for _, e := range a.manifest {
		if d, ok := storedDigest(a.file, tx, e.Leaf); !ok || d != e.LeafDigest {
			return false, nil
		}
	}
	for _, e := range a.manifest { // bytes may be damaged under a digest that is right
		if a.stage.has(e) && a.bytesOf(tx, e.Leaf) != e.LeafDigest {
			return false, nil
		}
	}
	others, err := newReader(a.file, tx).others(a.manifest)
	return len(others) == 0, err
}

// bytesOf hashes a leaf as it lies in the file; zero where it cannot be read.
func (a *inPlace) bytesOf(tx *bolt.Tx, leaf digest.Leaf) digest.LeafDigest {
	r := newReader(a.file, tx)
	r.lone = true // a neighbour may be what is to be replaced
	d, err := r.hash(noCheck, digest.NewLeafHasher(leaf, uint32(blocks.FormatVersion)), leaf, a.stage.windowNs)
	if err != nil {
		return digest.LeafDigest{}
	}
	return d
}

// plan reads what comes from the stage, and checks that the shard has the rest.
func (a *inPlace) plan(tx *bolt.Tx) error {
	size := uint64(0)
	var staged []digest.Entry
	for _, e := range a.manifest {
		if a.stage.has(e) {
			size += e.Bytes
			staged = append(staged, e)
			continue
		}
		d, ok := storedDigest(a.file, tx, e.Leaf)
		if !ok {
			d = a.bytesOf(tx, e.Leaf)
		}
		if d != e.LeafDigest {
			return fmt.Errorf("%w: %v is one", ErrIncomplete, e.Leaf)
		}
	}
	if size > MaxInPlaceBytes {
		return fmt.Errorf("%w: %d bytes of leaves, at most %d in place", ErrTooLarge, size, MaxInPlaceBytes)
	}
	for _, e := range staged {
		l, err := a.stage.staged(e)
		if err != nil {
			return err
		}
		a.staged = append(a.staged, l)
	}
	return nil
}

func noCheck() error { return nil }

// staged reads a leaf back as records, checked against its content id once more: bytes that are wrong must not get into a
// shard that was right.
func (s *Stage) staged(e digest.Entry) (*stagedLeaf, error) {
	w := leafBuffer(make([]byte, 0, e.Bytes))
	if err := s.Commit(); err != nil {
		return nil, err
	}
	if _, err := s.hash(context.Background(), digest.NewLeafEncoder(&w, e.Leaf, uint32(blocks.FormatVersion)), e.Leaf); err != nil {
		return nil, err
	}
	l, err := s.verify(w, e)
	if err != nil {
		return nil, fmt.Errorf("stage leaf %v: %w", e.Leaf, err)
	}
	return l, nil
}
