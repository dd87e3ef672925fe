package blocks

import "math/bits"

// Bitmap has one bit a row, row i in bit i%64 of word i/64. Bits beyond the last row are zero.
type Bitmap []uint64

// NewBitmap makes a bitmap of n rows, all absent.
func NewBitmap(n int) Bitmap { return make(Bitmap, bitmapWords(n)) }

func bitmapWords(n int) int { return (n + 63) >> 6 }

// Has reports whether bit i is set. A nil bitmap has every row.
func (b Bitmap) Has(i int) bool { return b == nil || b[i>>6]&(1<<(i&63)) != 0 }

// Set sets bit i of a bitmap that is long enough.
func (b Bitmap) Set(i int) { b[i>>6] |= 1 << (i & 63) }

// Clear clears bit i.
func (b Bitmap) Clear(i int) { b[i>>6] &^= 1 << (i & 63) }

// Count is the number of set bits among the first n.
func (b Bitmap) Count(n int) int {
	if b == nil {
		return n
	}
	total := 0
	for _, w := range b[:bitmapWords(n)] {
		total += bits.OnesCount64(w)
	}
	return total
}

// countBits is the number of set bits among the n from off on.
func countBits(b Bitmap, off, n int) int {
	total := 0
	for done := 0; done < n; done += 64 {
		total += bits.OnesCount64(b.word(off+done) & lowBits(min(64, n-done)))
	}
	return total
}

// word is the 64 bits from bit off on; bits beyond the end read as zero.
func (b Bitmap) word(off int) uint64 {
	i, s := off>>6, uint(off&63)
	if i >= len(b) {
		return 0
	}
	w := b[i] >> s
	if s != 0 && i+1 < len(b) {
		w |= b[i+1] << (64 - s)
	}
	return w
}

// putWord writes the low n (1..64) bits of w from bit off on and leaves the others alone.
func (b Bitmap) putWord(off int, w uint64, n int) {
	mask := lowBits(n)
	i, s := off>>6, uint(off&63)
	w &= mask
	b[i] = b[i]&^(mask<<s) | w<<s
	if s != 0 && int(s)+n > 64 {
		b[i+1] = b[i+1]&^(mask>>(64-s)) | w>>(64-s)
	}
}

func lowBits(n int) uint64 {
	if n >= 64 {
		return ^uint64(0)
	}
	return 1<<n - 1
}

// copyBits copies n bits from src at srcOff to dst at dstOff. The two may be one bitmap if dstOff <= srcOff: each
// word is read before a bit at or after it is written. A nil src reads as all ones.
func copyBits(dst Bitmap, dstOff int, src Bitmap, srcOff, n int) {
	for done := 0; done < n; done += 64 {
		w := ^uint64(0)
		if src != nil {
			w = src.word(srcOff + done)
		}
		dst.putWord(dstOff+done, w, min(64, n-done))
	}
}

// setRange sets n bits from off on.
func (b Bitmap) setRange(off, n int) { copyBits(b, off, nil, 0, n) }

// truncate keeps the first n rows and zeroes the rest of the last word.
func (b Bitmap) truncate(n int) Bitmap {
	b = b[:bitmapWords(n)]
	if n&63 != 0 {
		b[len(b)-1] &= lowBits(n & 63)
	}
	return b
}

// grown is b with room for n rows, new words zero.
func (b Bitmap) grown(n int) Bitmap {
	words := bitmapWords(n)
	for len(b) < words {
		b = append(b, 0)
	}
	return b
}
