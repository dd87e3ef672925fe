package digest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// ErrOrder: series or blocks came out of order, or a block before any series. A defect of the caller, or a damaged
// index of the shard: do not trust the leaf.
var ErrOrder = errors.New("leaf parts are out of order")

// LeafHasher hashes one leaf: Series, its Blocks, the next Series and so on, then Sum.
type LeafHasher struct {
	sum  hash.Hash // nil: no digest is wanted
	copy io.Writer // gets the leaf bytes too, if not nil
	buf  []byte

	key     []byte // of the series begun last
	begun   bool   // Series was called
	written bool   // the record of that series is written: it has a block
	last    int64  // time of the last row of the series so far

	series, blocks, points, bytes uint64
	err                           error
}

// NewLeafHasher starts the digest of a leaf whose blocks are of the given block format version (blocks.FormatVersion).
func NewLeafHasher(leaf Leaf, formatVersion uint32) *LeafHasher {
	return NewLeafWriter(nil, leaf, formatVersion)
}

// NewLeafWriter is NewLeafHasher that also writes the leaf bytes to w as they are hashed. An error of w ends the digest.
func NewLeafWriter(w io.Writer, leaf Leaf, formatVersion uint32) *LeafHasher {
	return newLeafHasher(sha256.New(), w, leaf, formatVersion)
}

// NewLeafEncoder is NewLeafWriter without the digest: the ID that Sum returns is zero.
func NewLeafEncoder(w io.Writer, leaf Leaf, formatVersion uint32) *LeafHasher {
	return newLeafHasher(nil, w, leaf, formatVersion)
}

// NewKeyedLeafHasher is NewLeafHasher with HMAC-SHA256 in place of SHA-256: the ID that Sum returns is the leaf's part of
// a proof, and no content id.
func NewKeyedLeafHasher(key []byte, leaf Leaf, formatVersion uint32) *LeafHasher {
	return newLeafHasher(hmac.New(sha256.New, key), nil, leaf, formatVersion)
}

func newLeafHasher(sum hash.Hash, w io.Writer, leaf Leaf, formatVersion uint32) *LeafHasher {
	h := &LeafHasher{sum: sum, copy: w}
	h.begin(leaf, formatVersion)
	return h
}

// Reset begins another leaf, under the same key and with the same writer, whatever became of the one before.
func (h *LeafHasher) Reset(leaf Leaf, formatVersion uint32) {
	if h.sum != nil {
		h.sum.Reset()
	}
	*h = LeafHasher{sum: h.sum, copy: h.copy, buf: h.buf, key: h.key[:0]}
	h.begin(leaf, formatVersion)
}

func (h *LeafHasher) begin(leaf Leaf, formatVersion uint32) {
	if leaf.Slot >= Slots {
		h.err = fmt.Errorf("%w: slot %d of %d", ErrOrder, leaf.Slot, Slots)
		return
	}
	h.buf = appendHeader(h.buf[:0], leaf, formatVersion)
	h.write(h.buf)
}

func (h *LeafHasher) write(p []byte) {
	if h.sum != nil {
		h.sum.Write(p) // a hash.Hash never fails
	}
	h.bytes += uint64(len(p))
	if h.copy != nil && h.err == nil {
		if _, err := h.copy.Write(p); err != nil {
			h.err = fmt.Errorf("write leaf bytes: %w", err)
		}
	}
}

// Series begins a series. Keys must ascend. A series without blocks is not counted and leaves no trace.
func (h *LeafHasher) Series(key []byte) error {
	switch {
	case h.err != nil:
	case h.begun && bytes.Compare(h.key, key) >= 0:
		h.err = fmt.Errorf("%w: series key %q follows %q", ErrOrder, key, h.key)
	case len(key) > maxRecordBytes:
		h.err = fmt.Errorf("%w: series key of %d bytes", ErrOrder, len(key))
	default:
		h.key, h.begun, h.written = append(h.key[:0], key...), true, false
	}
	return h.err
}

// Block adds the next canonical block of the series. Its CRC is checked first: a digest is never computed over a block
// that failed (blocks.ErrCorrupt). After any error the hasher only repeats it.
func (h *LeafHasher) Block(canonical []byte) error {
	if h.err != nil {
		return h.err
	}
	head, err := blocks.Peek(canonical)
	if err != nil {
		h.err = fmt.Errorf("hash block of series %q: %w", h.key, err)
		return h.err
	}
	return h.Checked(canonical, head)
}

// Checked is Block for who has checked the block's CRC since it was read, and knows its header.
func (h *LeafHasher) Checked(canonical []byte, head blocks.Header) error {
	switch {
	case h.err != nil:
	case !h.begun:
		h.err = fmt.Errorf("%w: block before any series", ErrOrder)
	case head.Rows == 0 || len(canonical) > maxRecordBytes:
		h.err = fmt.Errorf("%w: block of %d rows, %d bytes", ErrOrder, head.Rows, len(canonical))
	case h.written && head.First <= h.last:
		h.err = fmt.Errorf("%w: block from %d follows time %d of series %q", ErrOrder, head.First, h.last, h.key)
	}
	if h.err != nil {
		return h.err
	}
	h.buf = h.buf[:0]
	if !h.written {
		h.written = true
		h.series++
		h.buf = append(appendRecordHead(h.buf, recordSeries, len(h.key)), h.key...)
	}
	h.buf = appendRecordHead(h.buf, recordBlock, len(canonical))
	h.write(h.buf)
	h.write(canonical)
	h.blocks++
	h.points += uint64(head.Rows)
	h.last = head.Last
	return h.err
}

// Sum ends the leaf; the hasher is used up until Reset. It returns the first error of Series, Block and the writer, and no digest
// then. A leaf without points has a digest too, but does not belong in a manifest.
func (h *LeafHasher) Sum() (LeafDigest, error) {
	if h.err == nil {
		h.buf = appendEnd(h.buf[:0], h.series, h.blocks, h.points)
		h.write(h.buf)
	}
	if h.err != nil {
		return LeafDigest{}, h.err
	}
	d := LeafDigest{Points: h.points, Bytes: h.bytes}
	if h.sum != nil {
		h.sum.Sum(d.ID[:0])
	}
	h.err = fmt.Errorf("%w: used after Sum", ErrOrder)
	return d, nil
}
