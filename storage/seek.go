package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// part is one stored part of a series and window. Its block aliases the file: valid in the transaction.
type part struct {
	number uint32
	header blocks.Header
	block  []byte
}

// reader finds things in the blocks bucket of one transaction. Keys lie by window, so what belongs to one series is
// found by skipping from window to window: two seeks for each window that the shard has.
//
// A flipped bit in a key puts it where it does not belong: a binary search that looks at it goes astray, and stops beside
// it. So what is found, and that there is nothing, counts only when the records on both sides of where a search has
// stopped pass their checksums, which cover their keys.
type reader struct {
	file   *file
	pages  *pageReader
	cursor cursor
	key    []byte
	lone   bool // the neighbours are not looked at: somebody else checks what is read against what it should be
}

func newReader(f *file, tx *bolt.Tx) *reader { return f.bucket(tx, bucketBlocks).reader(f) }

// reader reads the bucket of blocks.
func (b *bucket) reader(f *file) *reader { return &reader{file: f, pages: b.pages, cursor: b.Cursor()} }

// partPrefix is what the keys of a series' parts in a window begin with. Valid until the next call.
func (r *reader) partPrefix(window int64, slot uint8, series []byte) []byte {
	r.key = append(appendLeaf(r.key[:0], digest.Leaf{Window: window, Slot: slot}), series...)
	return r.key
}

// parts reads the parts of a series in a window, checked.
func (r *reader) parts(window int64, slot uint8, series []byte) ([]part, error) {
	prefix := r.partPrefix(window, slot, series)
	k, v, err := r.seek(prefix)
	if err != nil {
		return nil, err
	}
	return r.partsFrom(prefix, prefix, k, v)
}

// seek moves the cursor to the first key at or above a key, and makes sure of the record before it.
func (r *reader) seek(key []byte) (k, v []byte, err error) {
	if r.lone {
		k, v = r.cursor.Seek(key)
		return k, v, nil
	}
	if k, v = r.below(key); k == nil {
		k, v = r.cursor.Seek(key)
	} else {
		if bytes.Compare(k, key) >= 0 {
			return nil, nil, r.disorder(k, key)
		}
		if _, err := unseal(k, v); err != nil {
			return nil, nil, r.damaged(k, err)
		}
		k, v = r.cursor.Next()
	}
	if k != nil && bytes.Compare(k, key) < 0 {
		return nil, nil, r.disorder(k, key)
	}
	return k, v, nil
}

func (r *reader) disorder(k, key []byte) error {
	return r.file.damage(fmt.Errorf("key %x lies on the wrong side of %x", k, key))
}

// last is the last key below a key, and makes sure of the record behind it. The cursor stands behind it.
func (r *reader) last(key []byte) (k, v []byte, err error) {
	if k, v = r.below(key); k == nil {
		return nil, nil, nil
	}
	if key != nil && bytes.Compare(k, key) >= 0 {
		return nil, nil, r.disorder(k, key)
	}
	next, value := r.cursor.Next()
	if next == nil {
		return k, v, nil
	}
	if bytes.Compare(next, key) < 0 {
		return nil, nil, r.disorder(next, key)
	}
	if _, err := unseal(next, value); err != nil {
		return nil, nil, r.damaged(next, err)
	}
	return k, v, nil
}

// partsFrom reads the parts with a prefix, the cursor standing on the first. It leaves the cursor behind the last. What
// follows, and does not begin with read, which the caller goes on with, has to be what it says: a part whose key is damaged
// may be just that.
func (r *reader) partsFrom(prefix, read, k, v []byte) (parts []part, err error) {
	for ; k != nil && len(k) == len(prefix)+partBytes && bytes.HasPrefix(k, prefix); k, v = r.cursor.Next() {
		p, err := r.part(k, v)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	if k != nil && !r.lone && (len(read) == len(prefix) || !bytes.HasPrefix(k, read)) {
		if _, err := unseal(k, v); err != nil {
			return nil, r.damaged(k, err)
		}
	}
	return parts, nil
}

// part checks one stored part.
func (r *reader) part(k, v []byte) (part, error) {
	block, err := unseal(k, v)
	if err != nil {
		return part{}, r.damaged(k, err)
	}
	header, err := blocks.Peek(block)
	if err != nil {
		return part{}, r.damaged(k, err)
	}
	return part{number: binary.BigEndian.Uint32(k[len(k)-partBytes:]), header: header, block: block}, nil
}

// damaged says which leaf a bad record belongs to.
func (r *reader) damaged(k []byte, err error) error { return r.file.badRecord(k, err) }

// blame makes damage of an error that says that a block is bad, and leaves others alone.
func (r *reader) blame(k []byte, err error) error {
	if errors.Is(err, blocks.ErrCorrupt) || errors.Is(err, blocks.ErrVersion) {
		return r.damaged(k, err)
	}
	return err
}

// seekUp finds the lowest window from `from` on in which the series has parts.
func (r *reader) seekUp(from int64, slot uint8, series []byte) (window int64, ok bool, err error) {
	for window = from; ; {
		prefix := r.partPrefix(window, slot, series)
		k, v, err := r.seek(prefix)
		if k == nil {
			return 0, false, err
		}
		if bytes.HasPrefix(k, prefix) {
			return window, true, nil
		}
		at, err := leafOf(k)
		if err != nil {
			return 0, false, r.damaged(k, err)
		}
		if _, err := unseal(k, v); err != nil {
			return 0, false, r.damaged(k, err)
		}
		switch {
		case at.Window > window:
			window = at.Window
		case window == math.MaxInt64:
			return 0, false, nil
		default:
			window++
		}
	}
}

// seekDown finds the highest window up to `from` in which the series has parts.
func (r *reader) seekDown(from int64, slot uint8, series []byte) (window int64, ok bool, err error) {
	for window = from; ; {
		prefix := r.partPrefix(window, slot, series)
		k, v, err := r.last(successor(prefix))
		if k == nil {
			return 0, false, err
		}
		if bytes.HasPrefix(k, prefix) {
			return window, true, nil
		}
		at, err := leafOf(k)
		if err != nil {
			return 0, false, r.damaged(k, err)
		}
		if _, err := unseal(k, v); err != nil {
			return 0, false, r.damaged(k, err)
		}
		switch {
		case at.Window < window:
			window = at.Window
		case window == math.MinInt64:
			return 0, false, nil
		default:
			window--
		}
	}
}

// below moves the cursor to the last key below a key.
func (r *reader) below(key []byte) (k, v []byte) {
	if k, _ = r.cursor.Seek(key); k == nil {
		return r.cursor.Last()
	}
	return r.cursor.Prev()
}

// leaves yields the leaves that have parts, in order, by skipping from leaf to leaf.
func (r *reader) leaves(yield func(digest.Leaf) error) error {
	for k, _ := r.cursor.First(); k != nil; {
		leaf, err := leafOf(k)
		if err != nil {
			return r.damaged(k, err)
		}
		if err := yield(leaf); err != nil {
			return err
		}
		next := successor(appendLeaf(nil, leaf))
		if next == nil {
			return nil
		}
		if k, _, err = r.skip(next); err != nil {
			return err
		}
	}
	return nil
}

// skip moves the cursor on, to the first key at or above one that lies behind it. Where a damaged page leads back, whoever
// skips from one to the next would go round for ever.
func (r *reader) skip(key []byte) (k, v []byte, err error) {
	k, v = r.cursor.Seek(key)
	if k != nil && bytes.Compare(k, key) < 0 {
		return nil, nil, r.disorder(k, key)
	}
	return k, v, nil
}

// seriesOf yields the series of a leaf whose keys begin with the prefix, each with its parts.
func (r *reader) seriesOf(leaf digest.Leaf, prefix []byte, yield func(series []byte, parts []part) error) error {
	start := append(appendLeaf(nil, leaf), prefix...)
	k, v := r.cursor.Seek(start)
	for k != nil && bytes.HasPrefix(k, start) {
		_, series, _, err := splitPart(k)
		if err != nil {
			return r.damaged(k, err)
		}
		all := append([]byte(nil), k[:len(k)-partBytes]...)
		parts, err := r.partsFrom(all, start, k, v)
		if err != nil {
			return err
		}
		if err := yield(series, parts); err != nil {
			return err
		}
		if k, v, err = r.skip(successor(all)); err != nil {
			return err
		}
	}
	return nil
}

// seriesKeys yields the keys of the series of a leaf that begin with the prefix, without reading their parts.
func (r *reader) seriesKeys(leaf digest.Leaf, prefix []byte, yield func(series []byte)) error {
	start := append(appendLeaf(nil, leaf), prefix...)
	for k, _ := r.cursor.Seek(start); k != nil && bytes.HasPrefix(k, start); {
		_, series, _, err := splitPart(k)
		if err != nil {
			return r.damaged(k, err)
		}
		yield(series)
		if k, _, err = r.skip(successor(k[:len(k)-partBytes])); err != nil {
			return err
		}
	}
	return nil
}
