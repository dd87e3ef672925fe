package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
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
type reader struct {
	file   *file
	cursor *bolt.Cursor
	key    []byte
}

func newReader(f *file, tx *bolt.Tx) *reader {
	return &reader{file: f, cursor: tx.Bucket(bucketBlocks).Cursor()}
}

// partPrefix is what the keys of a series' parts in a window begin with. Valid until the next call.
func (r *reader) partPrefix(window int64, slot uint8, series []byte) []byte {
	r.key = append(appendLeaf(r.key[:0], digest.Leaf{Window: window, Slot: slot}), series...)
	return r.key
}

// parts reads the parts of a series in a window, checked.
func (r *reader) parts(window int64, slot uint8, series []byte) ([]part, error) {
	prefix := r.partPrefix(window, slot, series)
	k, v := r.cursor.Seek(prefix)
	return r.partsFrom(prefix, k, v)
}

// partsFrom reads the parts with a prefix, the cursor standing on the first. It leaves the cursor behind the last.
func (r *reader) partsFrom(prefix, k, v []byte) (parts []part, err error) {
	for ; k != nil && len(k) == len(prefix)+partBytes && bytes.HasPrefix(k, prefix); k, v = r.cursor.Next() {
		p, err := r.part(k, v)
		if err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	if k != nil && parts == nil {
		// Nothing found: make sure that the neighbour is what it says, so that a flipped bit in a key is no silent loss.
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
		k, v := r.cursor.Seek(prefix)
		if k == nil {
			return 0, false, nil
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
		k, v := r.below(successor(prefix))
		if k == nil {
			return 0, false, nil
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
		k, _ = r.cursor.Seek(next)
	}
	return nil
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
		parts, err := r.partsFrom(all, k, v)
		if err != nil {
			return err
		}
		if err := yield(series, parts); err != nil {
			return err
		}
		k, v = r.cursor.Seek(successor(all))
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
		k, _ = r.cursor.Seek(successor(k[:len(k)-partBytes]))
	}
	return nil
}
