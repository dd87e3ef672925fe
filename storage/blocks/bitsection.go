package blocks

import (
	"encoding/binary"
	"math/bits"
)

// appendBits appends the first n bits of b as a map or as run lengths, whichever is shorter (the map if equal).
func appendBits(dst []byte, b Bitmap, n int) []byte {
	raw, runs := (n+7)>>3, 0
	for at, bit := 0, false; at < n && runs < raw; bit = !bit {
		run := runLength(b, at, n, bit)
		runs += uvarintLen(uint64(run))
		at += run
	}
	if raw <= runs {
		dst = append(dst, bitsRaw)
		for i := range raw {
			dst = append(dst, byte(b[i>>3]>>(i&7*8)))
		}
		return dst
	}
	dst = append(dst, bitsRuns)
	for at, bit := 0, false; at < n; bit = !bit {
		run := runLength(b, at, n, bit)
		dst = binary.AppendUvarint(dst, uint64(run))
		at += run
	}
	return dst
}

// runLength is how many bits from at on, below n, equal bit.
func runLength(b Bitmap, at, n int, bit bool) int {
	for i := at; i < n; i += 64 {
		w := b.word(i)
		if bit {
			w = ^w
		}
		if w != 0 {
			return min(i+bits.TrailingZeros64(w), n) - at
		}
	}
	return n - at
}

// readBits fills dst, zeroed and bitmapWords(n) long, from the head of b and returns what follows.
func readBits(b []byte, dst Bitmap, n int) ([]byte, bool) {
	if len(b) == 0 {
		return nil, false
	}
	mode := b[0]
	b = b[1:]
	switch mode {
	case bitsRaw:
		raw := (n + 7) >> 3
		if len(b) < raw || n&7 != 0 && b[raw-1]>>(n&7) != 0 {
			return nil, false
		}
		for i, x := range b[:raw] {
			dst[i>>3] |= uint64(x) << (i & 7 * 8)
		}
		return b[raw:], true
	case bitsRuns:
		for at, bit := 0, false; at < n; bit = !bit {
			run, rest, ok := readUvarint(b)
			if !ok || run > uint64(n-at) || run == 0 && (at > 0 || bit) {
				return nil, false
			}
			if bit {
				dst.setRange(at, int(run))
			}
			at, b = at+int(run), rest
		}
		return b, true
	}
	return nil, false
}
