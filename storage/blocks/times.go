package blocks

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// appendTimes appends the times, strictly ascending and at least one. deltas is scratch.
func appendTimes(dst []byte, times []int64, deltas []uint64) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(times[0]))
	if len(times) == 1 {
		return dst
	}
	deltas = deltas[:len(times)-1]
	previous, step := times[0], uint64(0)
	for i, t := range times[1:] {
		d := uint64(t) - uint64(previous)
		deltas[i] = d
		if d != step && (step == 0 || d%step != 0) {
			step = gcd(d, step)
		}
		previous = t
	}
	if step > 1 {
		for i, d := range deltas {
			deltas[i] = d / step
		}
	}
	dst = binary.AppendUvarint(dst, step)
	dst = binary.AppendUvarint(dst, (uint64(previous)-uint64(times[0]))/step)
	f, _ := chooseForm(deltas)
	return appendStream(append(dst, byte(f)), f, deltas)
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// timesHead is the fixed part of the times of a block.
type timesHead struct {
	first, last int64
	step, steps uint64 // steps: span / step
}

// readTimesHead reads the head of the times of rows > 0 rows, and refuses spans beyond int64.
func readTimesHead(b []byte, rows int) (h timesHead, rest []byte, ok bool) {
	if len(b) < 8 {
		return h, nil, false
	}
	h.first = int64(binary.LittleEndian.Uint64(b))
	h.last, b = h.first, b[8:]
	if rows == 1 {
		return h, b, true
	}
	if h.step, b, ok = readUvarint(b); !ok {
		return h, nil, false
	}
	if h.steps, b, ok = readUvarint(b); !ok {
		return h, nil, false
	}
	high, span := bits.Mul64(h.step, h.steps)
	if high != 0 || h.step == 0 || span > uint64(math.MaxInt64)-uint64(h.first) || h.steps < uint64(rows-1) {
		return h, nil, false
	}
	h.last = int64(uint64(h.first) + span)
	return h, b, true
}

// readTimes fills times from the head of b. deltas is scratch.
func readTimes(b []byte, times []int64, deltas []uint64) ([]byte, bool) {
	h, b, ok := readTimesHead(b, len(times))
	if !ok {
		return nil, false
	}
	times[0] = h.first
	if len(times) == 1 {
		return b, true
	}
	if len(b) == 0 || b[0] >= forms {
		return nil, false
	}
	deltas = deltas[:len(times)-1]
	if b, ok = readStream(b[1:], form(b[0]), deltas); !ok {
		return nil, false
	}
	left, at := h.steps, uint64(h.first)
	for i, d := range deltas {
		if d == 0 || d > left {
			return nil, false
		}
		left -= d
		at += d * h.step
		times[i+1] = int64(at)
	}
	return b, left == 0
}
