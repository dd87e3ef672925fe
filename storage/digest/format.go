package digest

import "encoding/binary"

// The leaf bytes, layout 1. Integers are big endian.
//
//	+-----------------+--------------------------+----------------+------------+
//	| "flotilla leaf" | layout 1 B | format 4 B  | window 8 B     | slot 1 B   |   header
//	+-----------------+--------------------------+----------------+------------+
//	| 'S' | key length 4 B | series key |                                          a series, keys ascending
//	| 'B' | length 4 B | canonical block |                                         its blocks, times ascending; at least one
//	| 'E' | series 8 B | blocks 8 B | points 8 B |                                 end
//
// format is the block format version in force, window the two's complement. The content id is the SHA-256 of all of it,
// LeafDigest.Bytes its length.
//
// The root, layout 1: SHA-256 of
//
//	+-----------------+------------+-------------+
//	| "flotilla root" | layout 1 B | leaves 8 B  |
//	+-----------------+------------+-------------+
//	| window 8 B | slot 1 B | content id 32 B | points 8 B | bytes 8 B |            a leaf, in leaf order
//
// A proof, layout 1, under a key that was chosen for it: HMAC-SHA256 of
//
//	+------------------+------------+------------+
//	| "flotilla proof" | layout 1 B | leaves 8 B |
//	+------------------+------------+------------+
//	| window 8 B | slot 1 B | HMAC-SHA256 of the leaf bytes 32 B | points 8 B | bytes 8 B |    a leaf, in leaf order
//
// Two inputs of different structure never hash the same bytes: the head tells leaf from root, a record begins with its
// type and says its length, and the end counts the records.
const (
	leafMagic  = "flotilla leaf"
	rootMagic  = "flotilla root"
	proofMagic = "flotilla proof"
	layout     = 1

	recordSeries = 'S'
	recordBlock  = 'B'
	recordEnd    = 'E'

	headerBytes    = len(leafMagic) + 1 + 4 + 8 + 1
	recordHead     = 1 + 4
	endBytes       = 1 + 3*8
	maxRecordBytes = 1<<31 - 1 // a length beyond it is refused
)

func appendHeader(dst []byte, leaf Leaf, formatVersion uint32) []byte {
	dst = append(append(dst, leafMagic...), layout)
	dst = binary.BigEndian.AppendUint32(dst, formatVersion)
	dst = binary.BigEndian.AppendUint64(dst, uint64(leaf.Window))
	return append(dst, leaf.Slot)
}

func appendRecordHead(dst []byte, kind byte, length int) []byte {
	return binary.BigEndian.AppendUint32(append(dst, kind), uint32(length))
}

func appendEnd(dst []byte, series, blocks, points uint64) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, recordEnd), series)
	dst = binary.BigEndian.AppendUint64(dst, blocks)
	return binary.BigEndian.AppendUint64(dst, points)
}

func appendEntry(dst []byte, e Entry) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.Window))
	dst = append(append(dst, e.Slot), e.ID[:]...)
	dst = binary.BigEndian.AppendUint64(dst, e.Points)
	return binary.BigEndian.AppendUint64(dst, e.Bytes)
}
