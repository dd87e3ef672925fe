package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// Check reads the whole file: every page, order and number of keys, and every CRC. It returns ErrDamaged with the first
// damage. bbolt's own check is not used: it walks pages on a goroutine where a fault ends the process. See Inspect for all
// damage, and for what the disk says.
func (s *Shard) Check(ctx context.Context) error {
	s.mu.RLock()
	err := s.err
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	return s.file.check(ctx, true)
}

// check reads the file, as far as the system has it in memory from there. Not deep: no values, which is quick enough for
// every open, and finds what readers would not notice: a page that has lost keys or leads elsewhere, a page that is used and
// called free.
func (f *file) check(ctx context.Context, deep bool) error {
	tx, meta, err := f.beginKnown()
	if err != nil {
		return err
	}
	defer f.end(tx)
	err = f.guard("check", func() error { return f.checkPages(ctx, newReader(f, tx), *meta, deep) })
	var page *pageError
	if errors.As(err, &page) {
		return f.damage(err)
	}
	return err
}

func (f *file) checkPages(ctx context.Context, r *reader, meta boltMeta, deep bool) error {
	w, err := startWalk(f.openDisk(meta.pageSize, false, func(int) error { return ctx.Err() }), meta, f.sums.Load())
	if err != nil {
		return err
	}
	names := make(recordMap)
	head := bucketMeta
	if _, stage := w.buckets[string(bucketStage)]; stage {
		head = bucketStage
	}
	if err := w.bucket(head, nil, names.Put); err != nil {
		return err
	}
	t, err := getTotals(names)
	if err != nil {
		return f.damage(err)
	}
	var parts, series uint64
	if err := w.bucket(bucketBlocks, nil, func(k, v []byte) error {
		parts++
		if _, _, _, err := splitPart(k); err != nil {
			return f.damage(fmt.Errorf("key %x: %w", k, err))
		}
		if !deep {
			return nil
		}
		return checkBlock(r, k, v)
	}); err != nil {
		return err
	}
	if err := w.bucket(bucketSeries, nil, func(k, v []byte) error {
		series++
		if _, err := unseal(k, v); err != nil {
			return f.damage(fmt.Errorf("series index: %w", err))
		}
		return nil
	}); err != nil {
		return err
	}
	if err := w.bucket(bucketDigests, nil, func(k, v []byte) error { return nil }); err != nil {
		return err
	}
	if parts != t.parts || series != t.series {
		return f.damage(fmt.Errorf("%d parts and %d series found, %d and %d expected", parts, series, t.parts, t.series))
	}
	return w.account()
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
