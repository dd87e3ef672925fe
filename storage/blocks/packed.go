package blocks

import (
	"encoding/binary"
	"math/bits"
)

// residuals fills out with the differences, taken order times, of v[at:at+m]. at >= order.
func residuals(out *[groupLen]uint64, v []uint64, at, m, order int) {
	switch order {
	case 0:
		copy(out[:m], v[at:at+m])
	case 1:
		prev := v[at-1]
		for i, x := range v[at : at+m] {
			out[i&(groupLen-1)] = x - prev
			prev = x
		}
	default:
		prev, diff := v[at-1], v[at-1]-v[at-2]
		for i, x := range v[at : at+m] {
			d := x - prev
			out[i&(groupLen-1)] = d - diff
			prev, diff = x, d
		}
	}
}

// extent is the least residual of a group, and the bits that hold any residual above it. The order is signed, the
// difference unsigned: it fits 64 bits even from the least to the greatest int64. Residuals that need all 64 bits are
// taken above 0, which costs nothing to say.
func extent(r []uint64) (least uint64, width int) {
	lo, hi := int64(r[0]), int64(r[0])
	for _, x := range r {
		lo, hi = min(lo, int64(x)), max(hi, int64(x))
	}
	if width = bits.Len64(uint64(hi) - uint64(lo)); width == 64 {
		return 0, width
	}
	return uint64(lo), width
}

// heads appends, or sizes, the values that a stream of this order starts with.
func heads(v []uint64, order int) (h [2]uint64, n int) {
	n = min(order, len(v))
	if n > 0 {
		h[0] = zigzag(v[0])
	}
	if n > 1 {
		h[1] = zigzag(v[1] - v[0])
	}
	return h, n
}

func packedSize(v []uint64, order int) int {
	var r [groupLen]uint64
	var previous uint64
	h, n := heads(v, order)
	size := 0
	for _, u := range h[:n] {
		size += uvarintLen(u)
	}
	for at := n; at < len(v); at += groupLen {
		m := min(groupLen, len(v)-at)
		residuals(&r, v, at, m, order)
		least, width := extent(r[:m])
		size += 1 + (width*m+7)>>3
		if least != previous {
			size += uvarintLen(zigzag(least))
		}
		previous = least
	}
	return size
}

func appendPacked(dst []byte, v []uint64, order int) []byte {
	var r [groupLen]uint64
	var previous uint64
	h, n := heads(v, order)
	for _, u := range h[:n] {
		dst = binary.AppendUvarint(dst, u)
	}
	for at := n; at < len(v); at += groupLen {
		m := min(groupLen, len(v)-at)
		residuals(&r, v, at, m, order)
		least, width := extent(r[:m])
		if least == previous {
			dst = append(dst, byte(width)|widthSameMin)
		} else {
			dst = append(dst, byte(width))
			dst = binary.AppendUvarint(dst, zigzag(least))
		}
		previous = least
		dst = pack(dst, r[:m], width, least)
	}
	return dst
}

// pack appends width bits of each r - least.
func pack(dst []byte, r []uint64, width int, least uint64) []byte {
	if width == 0 {
		return dst
	}
	var w bitWriter
	w.dst = dst
	for _, x := range r {
		w.put(x-least, width)
	}
	return w.close()
}

func readPacked(b []byte, dst []uint64, order int) ([]byte, bool) {
	n := min(order, len(dst))
	for i := range n {
		u, rest, ok := readUvarint(b)
		if !ok {
			return nil, false
		}
		dst[i], b = unzigzag(u), rest
	}
	var least uint64
	for group := dst[n:]; len(group) > 0; {
		m := min(groupLen, len(group))
		if len(b) == 0 {
			return nil, false
		}
		head := b[0]
		b = b[1:]
		width := int(head & widthMask)
		if head&widthSameMin == 0 {
			u, rest, ok := readUvarint(b)
			if !ok {
				return nil, false
			}
			least, b = unzigzag(u), rest
		}
		size := (width*m + 7) >> 3
		if width > 64 || size > len(b) {
			return nil, false
		}
		unpack(group[:m], b, width, least)
		b, group = b[size:], group[m:]
	}
	sumDifferences(dst, order)
	return b, true
}

// unpack fills dst with least + the packed bits at the head of b, which may be longer.
func unpack(dst []uint64, b []byte, width int, least uint64) {
	if width == 0 {
		for i := range dst {
			dst[i] = least
		}
		return
	}
	if need := (len(dst)-1)*width>>3 + 9; len(b) < need {
		var padded [groupLen*8 + 9]byte // a load takes 8 bytes, and one more for widths above 57
		copy(padded[:], b)
		b = padded[:need]
	}
	mask := lowBits(width)
	if width > 57 {
		for i := range dst {
			bit := i * width
			off, s := bit>>3, uint(bit&7)
			x := binary.LittleEndian.Uint64(b[off:])>>s | uint64(b[off+8])<<(64-s)
			dst[i] = least + x&mask
		}
		return
	}
	bit := 0
	for i := range dst {
		dst[i] = least + binary.LittleEndian.Uint64(b[bit>>3:])>>(bit&7)&mask
		bit += width
	}
}

// sumDifferences undoes residuals in place: dst holds the heads, then residuals.
func sumDifferences(dst []uint64, order int) {
	if len(dst) <= order || order == 0 {
		if order == 2 && len(dst) == 2 {
			dst[1] += dst[0]
		}
		return
	}
	acc := dst[0]
	if order == 1 {
		for i := 1; i < len(dst); i++ {
			acc += dst[i]
			dst[i] = acc
		}
		return
	}
	diff := dst[1]
	acc += diff
	dst[1] = acc
	for i := 2; i < len(dst); i++ {
		diff += dst[i]
		acc += diff
		dst[i] = acc
	}
}
