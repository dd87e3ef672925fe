package digest

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// ErrLeafBytes: the bytes are not leaf bytes as LeafHasher writes them. Do not use any part of them; fetch them again,
// from another replica if they fail again.
var ErrLeafBytes = errors.New("not the canonical bytes of a leaf")

// Parsed is what leaf bytes say they are.
type Parsed struct {
	Leaf
	LeafDigest
	FormatVersion uint32
}

// Visitor gets the parts of a leaf in order. Keys and blocks are parts of the parsed bytes. An error ends the parsing.
type Visitor struct {
	Series func(key []byte) error
	Block  func(canonical []byte, head blocks.Header) error
}

// Parse checks leaf bytes whole (every CRC, order, counts, nothing behind the end) and hands their parts to v. Since
// parts are handed over before the end is seen, a caller acts on them only after Parse has returned, and after it has
// compared the ID with the one that it wants.
func Parse(b []byte, v Visitor) (Parsed, error) {
	p, rest, err := parseHeader(b)
	if err != nil {
		return Parsed{}, err
	}
	h := newLeafHasher(nil, nil, p.Leaf, p.FormatVersion)
	wrote := true // the series before has a block
	for len(rest) > 0 && rest[0] != recordEnd {
		kind := rest[0]
		var part []byte
		if part, rest, err = parseRecord(rest); err != nil {
			return Parsed{}, err
		}
		if kind == recordBlock {
			wrote, err = true, v.block(h, part)
		} else if wrote {
			wrote, err = false, v.series(h, part)
		} else {
			err = fmt.Errorf("%w: series %q follows one without blocks", ErrLeafBytes, part)
		}
		if err != nil {
			return Parsed{}, err
		}
	}
	end := appendEnd(nil, h.series, h.blocks, h.points)
	if !wrote || string(rest) != string(end) {
		return Parsed{}, fmt.Errorf("%w: end is wrong or missing", ErrLeafBytes)
	}
	// What was walked over is, byte for byte, what the hasher would have written: one pass over all of it is faster.
	p.LeafDigest, err = h.Sum()
	p.ID = sha256.Sum256(b)
	return p, err
}

func (v *Visitor) series(h *LeafHasher, key []byte) error {
	if err := h.Series(key); err != nil {
		return fmt.Errorf("%w: %w", ErrLeafBytes, err)
	}
	if v.Series == nil {
		return nil
	}
	return v.Series(key)
}

func (v *Visitor) block(h *LeafHasher, b []byte) error {
	head, err := blocks.Peek(b)
	if err == nil {
		err = h.Checked(b, head)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLeafBytes, err)
	}
	if v.Block == nil {
		return nil
	}
	return v.Block(b, head)
}

func parseHeader(b []byte) (Parsed, []byte, error) {
	if len(b) < headerBytes+endBytes || string(b[:len(leafMagic)]) != leafMagic {
		return Parsed{}, nil, fmt.Errorf("%w: no header in %d bytes", ErrLeafBytes, len(b))
	}
	h := b[len(leafMagic):headerBytes]
	p := Parsed{FormatVersion: binary.BigEndian.Uint32(h[1:]),
		Leaf: Leaf{Window: int64(binary.BigEndian.Uint64(h[5:])), Slot: h[13]}}
	if h[0] != layout || p.Slot >= Slots {
		return Parsed{}, nil, fmt.Errorf("%w: layout %d, slot %d", ErrLeafBytes, h[0], p.Slot)
	}
	return p, b[headerBytes:], nil
}

// parseRecord splits off a series or block record.
func parseRecord(b []byte) (part, rest []byte, err error) {
	if b[0] != recordSeries && b[0] != recordBlock {
		return nil, nil, fmt.Errorf("%w: record type %d", ErrLeafBytes, b[0])
	}
	if len(b) < recordHead {
		return nil, nil, fmt.Errorf("%w: record of %d bytes", ErrLeafBytes, len(b))
	}
	n := uint64(binary.BigEndian.Uint32(b[1:]))
	if n > maxRecordBytes || n > uint64(len(b)-recordHead) {
		return nil, nil, fmt.Errorf("%w: record of %d bytes in %d", ErrLeafBytes, n, len(b)-recordHead)
	}
	end := recordHead + int(n)
	return b[recordHead:end], b[end:], nil
}
