package storage

import (
	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// canonicalBlock is a canonical block of a leaf. The bytes are valid during the call that yields it.
type canonicalBlock struct {
	bytes  []byte
	header *blocks.Header // nil: the block was made just now, and its header not read
}

// canonical yields the canonical blocks of a leaf in order of series key and time. goOn is asked before each series.
func (r *reader) canonical(goOn func() error, leaf digest.Leaf, windowNs int64, yield func(series []byte, b canonicalBlock) error) error {
	lo, hi := WindowStart(leaf.Window, windowNs), windowEnd(leaf.Window, windowNs)
	return r.seriesOf(leaf, nil, func(series []byte, parts []part) error {
		if err := goOn(); err != nil {
			return err
		}
		if isCanonical(parts, blocks.FormatVersion) {
			for i := range parts {
				if err := yield(series, canonicalBlock{parts[i].block, &parts[i].header}); err != nil {
					return err
				}
			}
			return nil
		}
		err := canonical(partLayers(parts, nil), lo, hi, func(block []byte, _ int) error {
			return yield(series, canonicalBlock{bytes: block})
		})
		return r.blame(partKey(string(appendLeaf(nil, leaf))+string(series), 0), err)
	})
}

// hash feeds the canonical bytes of a leaf to a hasher.
func (r *reader) hash(goOn func() error, h *digest.LeafHasher, leaf digest.Leaf, windowNs int64) (digest.LeafDigest, error) {
	var last []byte
	err := r.canonical(goOn, leaf, windowNs, func(series []byte, b canonicalBlock) error {
		if string(series) != string(last) {
			last = append(last[:0], series...)
			if err := h.Series(series); err != nil {
				return err
			}
		}
		if b.header != nil {
			return h.Checked(b.bytes, *b.header)
		}
		return h.Block(b.bytes)
	})
	if err != nil {
		return digest.LeafDigest{}, err
	}
	return h.Sum()
}
