package blocks

import (
	"encoding/binary"
	"math/bits"
)

func zigzag(v uint64) uint64   { return v<<1 ^ uint64(int64(v)>>63) }
func unzigzag(u uint64) uint64 { return u>>1 ^ -(u & 1) }

func uvarintLen(u uint64) int { return (bits.Len64(u|1) + 6) / 7 }

// chooseForm is the form that writes v in the fewest bytes, and that number of bytes.
func chooseForm(v []uint64) (form, int) {
	best, size := formPlain, packedSize(v, 0)
	for f := formDelta; f <= formDelta2; f++ {
		if s := packedSize(v, int(f)); s < size {
			best, size = f, s
		}
	}
	if s := xorSize(v, size); s < size {
		best, size = formXOR, s
	}
	return best, size
}

func appendStream(dst []byte, f form, v []uint64) []byte {
	if f == formXOR {
		return appendXOR(dst, v)
	}
	return appendPacked(dst, v, int(f))
}

// readStream fills dst from the head of b and returns what follows; false when b is not such a stream.
func readStream(b []byte, f form, dst []uint64) ([]byte, bool) {
	if f == formXOR {
		return readXOR(b, dst)
	}
	return readPacked(b, dst, int(f))
}

// readUvarint refuses encodings longer than needed: they would be a second spelling of the same block.
func readUvarint(b []byte) (uint64, []byte, bool) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), b[1:], true
	}
	u, n := binary.Uvarint(b)
	if n <= 0 || n != uvarintLen(u) {
		return 0, nil, false
	}
	return u, b[n:], true
}
