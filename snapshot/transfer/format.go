package transfer

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// The messages, layout 1. Integers are big endian.
//
// A request:
//
//	+----------+------------+-----------+-------------------+
//	| layout 1 | flags 1 B  | group 4 B | message bytes 4 B |   flags: 1 = compress
//	+----------+------------+-----------+-------------------+
//	| cut length 2 B | cut | leaves 4 B |
//	+----------------+-----+------------+
//	| window 8 B | slot 1 B |                                 a leaf, in the order in which they are wanted
//	+------------+----------+
//
// A message of the answer:
//
//	+----------+--------------+-----------+-----------+-----------+
//	| layout 1 | encoding 1 B | parts 2 B | raw 4 B   | work 8 B  |   raw: bytes of the payload before compression
//	+----------+--------------+-----------+-----------+-----------+   work: ns that reading and compressing took
//	| window 8 B | slot 1 B | total 8 B | offset 8 B | length 4 B |   a part: total is the size of its leaf
//	+------------+----------+-----------+------------+------------+
//	| payload: the bytes of the parts, one after the other; zstd when encoding is 1 |
//	+-------------------------------------------------------------------------------+
//
// The leaves come in the order asked, each from its first byte to its last; a part that does not go on where the last
// one ended is refused. So is a payload of another length than that of its parts together.
const (
	layout = 1

	requestHeadBytes = 1 + 1 + 4 + 4 + 2
	leafNameBytes    = 8 + 1
	messageHeadBytes = 1 + 1 + 2 + 4 + 8
	partBytes        = leafNameBytes + 8 + 8 + 4

	flagCompress = 1

	encodingPlain = 0
	encodingZstd  = 1
)

// The bounds of what is decoded.
const (
	maxRequestLeaves = 4096
	maxParts         = 4096
	maxCutBytes      = 256

	// MaxRequestWire and MaxMessageWire bound requests and messages on the wire, in bytes.
	MaxRequestWire = requestHeadBytes + maxCutBytes + 4 + maxRequestLeaves*leafNameBytes
	MaxMessageWire = messageHeadBytes + maxParts*partBytes + MaxMessageBytes
)

// AppendRequest encodes a request.
func AppendRequest(dst []byte, r Request) ([]byte, error) {
	if len(r.Cut) > maxCutBytes || len(r.Leaves) > maxRequestLeaves || len(r.Leaves) == 0 {
		return nil, fmt.Errorf("%w: a request of %d leaves of a cut whose id has %d bytes", ErrMessage, len(r.Leaves), len(r.Cut))
	}
	flags := byte(0)
	if r.Compress {
		flags = flagCompress
	}
	dst = binary.BigEndian.AppendUint32(append(dst, layout, flags), r.Group)
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.MessageBytes))
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(r.Cut))), r.Cut...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(r.Leaves)))
	for _, leaf := range r.Leaves {
		dst = appendLeaf(dst, leaf)
	}
	return dst, nil
}

// ParseRequest decodes a request: ErrMessage when it is none.
func ParseRequest(b []byte) (Request, error) {
	refuse := func(why string) (Request, error) { return Request{}, fmt.Errorf("%w: request %s", ErrMessage, why) }
	if len(b) < requestHeadBytes {
		return refuse("is short")
	}
	if b[0] != layout {
		return refuse(fmt.Sprintf("of layout %d, this node knows %d", b[0], layout))
	}
	if b[1]&^flagCompress != 0 {
		return refuse("with unknown flags")
	}
	r := Request{Compress: b[1] == flagCompress, Group: binary.BigEndian.Uint32(b[2:]), MessageBytes: int(binary.BigEndian.Uint32(b[6:]))}
	cut, b := int(binary.BigEndian.Uint16(b[10:])), b[requestHeadBytes:]
	if cut > maxCutBytes || len(b) < cut+4 {
		return refuse("has no cut")
	}
	r.Cut, b = string(b[:cut]), b[cut:]
	count, b := binary.BigEndian.Uint32(b), b[4:]
	if count == 0 || count > maxRequestLeaves || len(b) != int(count)*leafNameBytes {
		return refuse("has another number of leaves than it says")
	}
	r.Leaves = make([]digest.Leaf, count)
	for i := range r.Leaves {
		r.Leaves[i], b = parseLeaf(b), b[leafNameBytes:]
		if r.Leaves[i].Slot >= digest.Slots {
			return refuse("names a slot that does not exist")
		}
	}
	return r, nil
}

func appendLeaf(dst []byte, l digest.Leaf) []byte {
	return append(binary.BigEndian.AppendUint64(dst, uint64(l.Window)), l.Slot)
}

func parseLeaf(b []byte) digest.Leaf {
	return digest.Leaf{Window: int64(binary.BigEndian.Uint64(b)), Slot: b[8]}
}

// part is a piece of a leaf.
type part struct {
	leaf          digest.Leaf
	total, offset uint64
	length        uint32
}

// messageHead is what stands before the payload.
type messageHead struct {
	encoding byte
	raw      uint32
	work     int64 // ns
	parts    []part
}

func (h *messageHead) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(append(dst, layout, h.encoding), uint16(len(h.parts)))
	dst = binary.BigEndian.AppendUint32(dst, h.raw)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.work))
	for _, p := range h.parts {
		dst = appendLeaf(dst, p.leaf)
		dst = binary.BigEndian.AppendUint64(dst, p.total)
		dst = binary.BigEndian.AppendUint64(dst, p.offset)
		dst = binary.BigEndian.AppendUint32(dst, p.length)
	}
	return dst
}

// read decodes a head; r is left at the payload.
func (h *messageHead) read(r io.Reader) error {
	var fixed [max(messageHeadBytes, partBytes)]byte
	b := fixed[:messageHeadBytes]
	if _, err := io.ReadFull(r, b); err != nil {
		return fmt.Errorf("%w: its head is short", ErrMessage)
	}
	count := int(binary.BigEndian.Uint16(b[2:]))
	h.encoding, h.raw, h.work = b[1], binary.BigEndian.Uint32(b[4:]), int64(binary.BigEndian.Uint64(b[8:]))
	if b[0] != layout || h.encoding > encodingZstd || count > maxParts || h.raw > MaxMessageBytes {
		return fmt.Errorf("%w: layout %d, encoding %d, %d parts, %d bytes", ErrMessage, b[0], h.encoding, count, h.raw)
	}
	h.parts = h.parts[:0]
	sum := uint64(0)
	for range count {
		b := fixed[:partBytes]
		if _, err := io.ReadFull(r, b); err != nil {
			return fmt.Errorf("%w: its parts are short", ErrMessage)
		}
		h.parts = append(h.parts, part{
			leaf: parseLeaf(b), total: binary.BigEndian.Uint64(b[9:]),
			offset: binary.BigEndian.Uint64(b[17:]), length: binary.BigEndian.Uint32(b[25:]),
		})
		sum += uint64(h.parts[len(h.parts)-1].length)
	}
	if sum != uint64(h.raw) {
		return fmt.Errorf("%w: its parts have %d bytes, it says %d", ErrMessage, sum, h.raw)
	}
	return nil
}
