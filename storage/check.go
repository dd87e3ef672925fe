package storage

import (
	"bytes"
	"context"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// checkEvery is how many keys Check reads in one look at its context.
const checkEvery = 1024

// Check reads the whole file: order and number of keys, that each can be found, and every CRC. It returns ErrDamaged
// with the first damage. bbolt's own check is not used: it walks pages on a goroutine where a fault ends the process.
func (s *Shard) Check(ctx context.Context) error {
	s.mu.RLock()
	if s.err != nil {
		defer s.mu.RUnlock()
		return s.err
	}
	tx, err := s.file.begin()
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	defer s.file.end(tx)
	return s.file.guard("check", func() error {
		_, t, err := getState(tx.Bucket(bucketMeta))
		if err != nil {
			return s.file.damage(err)
		}
		return s.file.check(ctx, tx, t, true)
	})
}

// checkStructure walks the keys only: what is quick enough for every open, and finds what readers would not notice, a
// page that has lost keys or leads elsewhere.
func (f *file) checkStructure(ctx context.Context, t totals) error {
	return f.view("check", func(tx *bolt.Tx) error { return f.check(ctx, tx, t, false) })
}

func (f *file) check(ctx context.Context, tx *bolt.Tx, t totals, deep bool) error {
	parts, err := f.checkBucket(ctx, tx.Bucket(bucketBlocks), func(k, v []byte) error {
		if _, _, _, err := splitPart(k); err != nil {
			return f.damage(fmt.Errorf("key %x: %w", k, err))
		}
		if !deep {
			return nil
		}
		return checkBlock(newReader(f, tx), k, v)
	})
	if err != nil {
		return err
	}
	series, err := f.checkBucket(ctx, tx.Bucket(bucketSeries), func(k, v []byte) error {
		if _, err := unseal(k, v); err != nil {
			return f.damage(fmt.Errorf("series index: %w", err))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := f.checkBucket(ctx, tx.Bucket(bucketDigests), func(k, v []byte) error { return nil }); err != nil {
		return err
	}
	if parts != t.parts || series != t.series {
		return f.damage(fmt.Errorf("%d parts and %d series found, %d and %d expected", parts, series, t.parts, t.series))
	}
	return nil
}

// checkBucket walks a bucket in order, and looks each key up the way readers do.
func (f *file) checkBucket(ctx context.Context, b *bolt.Bucket, each func(k, v []byte) error) (keys uint64, err error) {
	walk, look := b.Cursor(), b.Cursor()
	var last []byte
	for k, v := walk.First(); k != nil; k, v = walk.Next() {
		if keys++; keys%checkEvery == 0 && ctx.Err() != nil {
			return keys, ctx.Err()
		}
		if last != nil && bytes.Compare(last, k) >= 0 {
			return keys, f.damage(fmt.Errorf("key %x lies behind %x", k, last))
		}
		if found, _ := look.Seek(k); !bytes.Equal(found, k) {
			return keys, f.damage(fmt.Errorf("key %x is there but not found", k))
		}
		if err := each(k, v); err != nil {
			return keys, err
		}
		last = append(last[:0], k...)
	}
	return keys, nil
}

// checkBlock reads one part as a reader would, decoding included.
func checkBlock(r *reader, k, v []byte) error {
	p, err := r.part(k, v)
	if err != nil {
		return err
	}
	l := layer{block: p.block}
	defer l.release()
	if err := l.load(); err != nil {
		return r.damaged(k, err)
	}
	if n := l.cols.Len(); n == 0 || n > blocks.MaxRows {
		return r.damaged(k, fmt.Errorf("part with %d rows", n))
	}
	return nil
}
