package blocks

import "math/bits"

const xorWindowBits = 2 + 6 + 6

// xorWindow is the run of bits that XORs were last written in.
type xorWindow struct{ low, length int }

// fits reports whether x (not 0) lies inside the window.
func (w xorWindow) fits(x uint64) bool {
	return w.length > 0 && bits.TrailingZeros64(x) >= w.low && bits.Len64(x) <= w.low+w.length
}

// next is the window to write x (not 0) in, and whether it is a new one. A window that wastes more bits than a new one
// costs is given up.
func (w xorWindow) next(x uint64) (xorWindow, bool) {
	low := bits.TrailingZeros64(x)
	own := xorWindow{low: low, length: bits.Len64(x) - low}
	if w.fits(x) && w.length-own.length < xorWindowBits-2 {
		return w, false
	}
	return own, true
}

// xorSize is the size of v as appendXOR writes it, or anything from limit on once that is reached.
func xorSize(v []uint64, limit int) int {
	if len(v) == 0 {
		return 0
	}
	var window xorWindow
	total, limitBits := 64, 8*limit
	for i := 1; i < len(v) && total <= limitBits; i++ {
		x := v[i] ^ v[i-1]
		if x == 0 {
			total++
			continue
		}
		var fresh bool
		if window, fresh = window.next(x); fresh {
			total += xorWindowBits + window.length
		} else {
			total += 2 + window.length
		}
	}
	return (total + 7) >> 3
}

func appendXOR(dst []byte, v []uint64) []byte {
	if len(v) == 0 {
		return dst
	}
	w := bitWriter{dst: dst}
	w.put(v[0], 64)
	var window xorWindow
	for i := 1; i < len(v); i++ {
		x := v[i] ^ v[i-1]
		if x == 0 {
			w.put(0, 1)
			continue
		}
		var fresh bool
		if window, fresh = window.next(x); fresh {
			w.put(3|uint64(window.low)<<2|uint64(window.length-1)<<8, xorWindowBits)
		} else {
			w.put(1, 2)
		}
		w.put(x>>window.low, window.length)
	}
	return w.close()
}

func readXOR(b []byte, dst []uint64) ([]byte, bool) {
	if len(dst) == 0 {
		return b, true
	}
	r := bitReader{b: b}
	word := r.take(64)
	dst[0] = word
	var window xorWindow
	for i := 1; i < len(dst); i++ {
		switch head := r.peek(); {
		case head&1 == 0:
			r.bit++
		case head&2 == 0:
			r.bit += 2
			if window.length == 0 {
				return nil, false
			}
			word ^= r.take(window.length) << window.low
		default:
			r.bit += xorWindowBits
			window = xorWindow{low: int(head >> 2 & 63), length: int(head>>8&63) + 1}
			if window.low+window.length > 64 {
				return nil, false
			}
			word ^= r.take(window.length) << window.low
		}
		dst[i] = word
	}
	if r.over() {
		return nil, false
	}
	return r.rest(), true
}
