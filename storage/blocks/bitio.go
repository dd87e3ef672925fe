package blocks

import "encoding/binary"

// bitWriter appends bits to dst, lowest first.
type bitWriter struct {
	dst  []byte
	acc  uint64
	used int // bits of acc, 0..63
}

// put appends the low n (1..64) bits of x, whose higher bits must be zero.
func (w *bitWriter) put(x uint64, n int) {
	w.acc |= x << w.used
	w.used += n
	if w.used >= 64 {
		w.dst = binary.LittleEndian.AppendUint64(w.dst, w.acc)
		w.used -= 64
		w.acc = x >> (n - w.used) // a shift by 64 gives 0
	}
}

// close pads the last byte with zeros and returns dst.
func (w *bitWriter) close() []byte {
	for ; w.used > 0; w.used -= 8 {
		w.dst = append(w.dst, byte(w.acc))
		w.acc >>= 8
	}
	return w.dst
}

// bitReader reads bits, lowest first. Reading past the end gives zeros and is seen by over.
type bitReader struct {
	b   []byte
	bit int
}

// peek is the next 57 bits or more.
func (r *bitReader) peek() uint64 {
	off := r.bit >> 3
	if off+8 <= len(r.b) {
		return binary.LittleEndian.Uint64(r.b[off:]) >> (r.bit & 7)
	}
	var tail [8]byte
	if off < len(r.b) {
		copy(tail[:], r.b[off:])
	}
	return binary.LittleEndian.Uint64(tail[:]) >> (r.bit & 7)
}

// take reads n (1..64) bits.
func (r *bitReader) take(n int) uint64 {
	if n <= 57 {
		x := r.peek() & lowBits(n)
		r.bit += n
		return x
	}
	x := r.peek() & lowBits(32)
	r.bit += 32
	x |= r.peek() & lowBits(n-32) << 32
	r.bit += n - 32
	return x
}

// over reports whether more was read than there is.
func (r *bitReader) over() bool { return r.bit > 8*len(r.b) }

// rest is what follows the last byte touched.
func (r *bitReader) rest() []byte { return r.b[(r.bit+7)>>3:] }
