package blocks

import (
	"encoding/binary"
	"math"
)

// Readings have few decimals: 21.37 is 2137 / 10^2, exactly, since a division rounds as parsing the decimal does. A
// column of such floats is a stream of integers, and the few values that are not decimals are exceptions.
//
// The choice, all of it part of the format:
//  1. Of up to sampleLen values, evenly spread, take the least exponent of each. If fewer than half have one: not scaled.
//  2. First candidate: the least exponent that suits 7 of 8 of those that have one.
//  3. If values fail at it, second candidate: the greatest least exponent of all values that failed.
//  4. A candidate at which more than 1 value in 8 fails is dropped; the cheaper one stays.
//
// Every step is one correctly rounded operation (the conversions forbid fused multiply-add), so all platforms agree.

const (
	maxExponent   = 15 // decimals beyond this need more than 53 bits of integer for anything above 8
	maxScaled     = 1 << 53
	sampleLen     = 64
	exceptionPart = 8 // at most 1 value in 8 is an exception
)

var powersOf10 = [maxExponent + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// scale is the integer i with i / power == v bit for bit, false if there is none.
func scale(v, power float64) (int64, bool) {
	x := float64(v * power)
	if !(math.Abs(x) <= maxScaled) {
		return 0, false
	}
	i := int64(math.RoundToEven(x))
	return i, math.Float64bits(float64(float64(i)/power)) == math.Float64bits(v)
}

// leastExponent is the least exponent from e on at which v is an integer, false if there is none.
func leastExponent(v float64, e int) (int, bool) {
	for ; e <= maxExponent; e++ {
		if _, ok := scale(v, powersOf10[e]); ok {
			return e, true
		}
		if !(math.Abs(float64(v*powersOf10[e])) <= maxScaled) {
			return 0, false
		}
	}
	return 0, false
}

// scaling is a column of floats as integers.
type scaling struct {
	exponent   int
	ints       []uint64
	exceptions []exception
	form       form
	size       int // bytes of the values
}

type exception struct {
	at   int // index among the present values
	bits uint64
}

// sampleExponent is steps 1 and 2.
func sampleExponent(v []uint64) (int, bool) {
	var counts [maxExponent + 1]int
	n := min(len(v), sampleLen)
	fit := 0
	for i := range n {
		if e, ok := leastExponent(math.Float64frombits(v[i*len(v)/n]), 0); ok {
			counts[e]++
			fit++
		}
	}
	if fit == 0 || 2*fit < n {
		return 0, false
	}
	covered := 0
	for e, count := range counts {
		if covered += count; covered*8 >= fit*7 {
			return e, true
		}
	}
	return maxExponent, true
}

// fill makes the integers of v at the exponent. It is false if too many values fail, and reports the greatest exponent
// that a failed value would need.
func (s *scaling) fill(v []uint64, exponent int) (needed int, ok bool) {
	s.exponent, s.exceptions = exponent, s.exceptions[:0]
	s.ints = resize(s.ints, len(v))
	power, limit := powersOf10[exponent], len(v)/exceptionPart
	previous, first := uint64(0), true
	for i, u := range v {
		f := math.Float64frombits(u)
		if x, fits := scale(f, power); fits {
			previous = uint64(x)
			if first {
				first = false
				for j := range i { // exceptions ahead of the first integer repeat it, later ones the one before
					s.ints[j] = previous
				}
			}
		} else {
			s.exceptions = append(s.exceptions, exception{at: i, bits: u})
			if e, has := leastExponent(f, exponent+1); has {
				needed = max(needed, e)
			}
			if len(s.exceptions) > limit {
				return needed, false
			}
		}
		s.ints[i] = previous
	}
	s.form, s.size = chooseForm(s.ints)
	s.size += 1 + s.exceptionBytes()
	return needed, true
}

func (s *scaling) exceptionBytes() int {
	if len(s.exceptions) == 0 {
		return 0
	}
	size, next := uvarintLen(uint64(len(s.exceptions))), 0
	for _, x := range s.exceptions {
		size += uvarintLen(uint64(x.at-next)) + 8
		next = x.at + 1
	}
	return size
}

// chooseScaling tries the candidates with the two scratch scalings and returns the cheaper one, nil if none will do.
func chooseScaling(v []uint64, a, b *scaling) *scaling {
	first, ok := sampleExponent(v)
	if !ok {
		return nil
	}
	needed, ok := a.fill(v, first)
	if needed > first {
		if _, ok2 := b.fill(v, needed); ok2 && (!ok || b.size < a.size) {
			return b
		}
	}
	if !ok {
		return nil
	}
	return a
}

func (s *scaling) append(dst []byte) []byte {
	if len(s.exceptions) == 0 {
		dst = append(dst, byte(s.exponent))
		return appendStream(dst, s.form, s.ints)
	}
	dst = append(dst, byte(s.exponent)|exponentExcept)
	dst = binary.AppendUvarint(dst, uint64(len(s.exceptions)))
	next := 0
	for _, x := range s.exceptions {
		dst = binary.AppendUvarint(dst, uint64(x.at-next))
		dst = binary.LittleEndian.AppendUint64(dst, x.bits)
		next = x.at + 1
	}
	return appendStream(dst, s.form, s.ints)
}

// readScaled fills dst with float bits. Exceptions are read twice: skipped first, put in place last.
func readScaled(b []byte, f form, dst []uint64) ([]byte, bool) {
	if len(b) == 0 || int(b[0]&exponentMask) > maxExponent {
		return nil, false
	}
	power, excepted := powersOf10[b[0]&exponentMask], b[0]&exponentExcept != 0
	b = b[1:]
	exceptions := b
	if excepted {
		var ok bool
		if b, ok = readExceptions(b, len(dst), nil); !ok {
			return nil, false
		}
	}
	b, ok := readStream(b, f, dst)
	if !ok {
		return nil, false
	}
	for i, x := range dst {
		dst[i] = math.Float64bits(float64(int64(x)) / power)
	}
	if excepted {
		readExceptions(exceptions, len(dst), dst)
	}
	return b, true
}

// readExceptions walks the list of exceptions among n values and, unless dst is nil, puts them there.
func readExceptions(b []byte, n int, dst []uint64) ([]byte, bool) {
	count, b, ok := readUvarint(b)
	if !ok || count == 0 || count > uint64(n) {
		return nil, false
	}
	at := uint64(0)
	for range count {
		skip, rest, ok := readUvarint(b)
		if !ok || skip >= uint64(n) || at+skip >= uint64(n) || len(rest) < 8 {
			return nil, false
		}
		at += skip
		if dst != nil {
			dst[at] = binary.LittleEndian.Uint64(rest)
		}
		at++
		b = rest[8:]
	}
	return b, true
}
