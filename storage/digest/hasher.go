package digest

import "errors"

// ErrOrder: series or blocks came out of order, or a block before any series. A defect of the caller.
var ErrOrder = errors.New("leaf parts are out of order")

// LeafHasher hashes one leaf: Series, its Blocks, the next Series and so on, then Sum.
type LeafHasher struct{}

// NewLeafHasher starts the digest of a leaf whose blocks are of the given block format version (blocks.FormatVersion).
func NewLeafHasher(leaf Leaf, formatVersion uint32) *LeafHasher { panic("soon") }

// Series begins a series. Keys must ascend. A series without blocks is not counted and leaves no trace.
func (h *LeafHasher) Series(key []byte) error { panic("soon") }

// Block adds the next canonical block of the series. Its CRC is checked first: a digest is never computed over a block
// that failed (blocks.ErrCorrupt). After any error the hasher only repeats it.
func (h *LeafHasher) Block(canonical []byte) error { panic("soon") }

// Sum ends the leaf. It returns the first error of Series and Block, and then no digest.
func (h *LeafHasher) Sum() (LeafDigest, error) { panic("soon") }

// Root is the SHA-256 over the manifest in leaf order; entries may come in any order and are not changed. Leaves
// without points must be left out.
func Root(entries []Entry) ID { panic("soon") }
