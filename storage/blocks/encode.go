package blocks

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode appends the canonical block of all rows of c to dst. ErrTooLarge when they do not fit one block, ErrInvalid
// when c breaks an invariant; dst is returned as it was then.
func Encode(dst []byte, c *Columns) ([]byte, error) { return EncodeRows(dst, c, 0, c.Len()) }

// EncodeRows appends the canonical block of the rows lo <= row < hi to dst.
func EncodeRows(dst []byte, c *Columns, lo, hi int) ([]byte, error) {
	if err := checkRows(c, lo, hi); err != nil {
		return dst, err
	}
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	return e.block(dst, c, lo, hi)
}

func checkRows(c *Columns, lo, hi int) error {
	if lo < 0 || hi < lo || hi > c.Len() {
		return fmt.Errorf("%w: rows %d to %d of %d", ErrInvalid, lo, hi, c.Len())
	}
	if hi-lo > MaxRows {
		return fmt.Errorf("%w: %d rows, %d allowed", ErrTooLarge, hi-lo, MaxRows)
	}
	if err := checkTimes(c.Times[lo:hi]); err != nil {
		return err
	}
	for i := range c.Cols {
		if err := c.checkColumn(i); err != nil {
			return err
		}
	}
	return nil
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// encoder is the scratch memory of one Encode.
type encoder struct {
	words   [MaxRows]uint64      // deltas of times, then the present values of a column
	present [MaxRows / 64]uint64 // presence of a column in the encoded rows
	truth   [MaxRows / 64]uint64 // values of a Bool column
	scaled  [2]scaling
	texts   dictionary
	payload []byte
}

func (e *encoder) block(dst []byte, c *Columns, lo, hi int) ([]byte, error) {
	start, rows := len(dst), hi-lo
	dst = append(dst, FormatVersion)
	dst = binary.AppendUvarint(dst, uint64(rows))
	if rows > 0 {
		cols := 0
		for i := range c.Cols {
			if c.Cols[i].countRows(lo, hi) > 0 {
				cols++
			}
		}
		if rows*cols > MaxCells {
			return dst[:start], fmt.Errorf("%w: %d rows of %d columns, %d cells allowed", ErrTooLarge, rows, cols, MaxCells)
		}
		dst = appendTimes(dst, c.Times[lo:hi], e.words[:])
		dst = binary.AppendUvarint(dst, uint64(cols))
		for i := range c.Cols {
			dst = e.column(dst, &c.Cols[i], lo, hi)
		}
	}
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli)), nil
}

// countRows is the number of rows lo <= row < hi that have the field.
func (col *Column) countRows(lo, hi int) int {
	if col.Present == nil {
		return hi - lo
	}
	return countBits(col.Present, lo, hi-lo)
}

// column appends one column, or nothing if it is present in no row.
func (e *encoder) column(dst []byte, col *Column, lo, hi int) []byte {
	rows := hi - lo
	count := col.countRows(lo, hi)
	if count == 0 {
		return dst
	}
	tag, p := byte(col.Kind), e.payload[:0]
	if count < rows {
		tag |= tagSparse
		clear(e.present[:bitmapWords(rows)])
		copyBits(e.present[:], 0, col.Present, lo, rows)
		p = appendBits(p, e.present[:], rows)
	}
	var f form
	switch col.Kind {
	case Bool:
		p = e.bools(p, col, lo, hi)
	case String:
		p, f = e.strings(p, col, lo, hi)
	default:
		v := e.numbers(col, lo, hi, count)
		var s *scaling
		if col.Kind == Float64 {
			s = chooseScaling(v, &e.scaled[0], &e.scaled[1])
		}
		// Raw bits beat integers only where the integers are wide: not tried below 4 bytes a value.
		if s == nil || s.size > 4*count {
			raw, size := chooseForm(v)
			if f = raw; s != nil && s.size <= size {
				f = s.form
			} else {
				s = nil
			}
		}
		if s != nil {
			tag, f = tag|tagScaled, s.form
			p = s.append(p)
		} else {
			p = appendStream(p, f, v)
		}
	}
	e.payload = p
	dst = binary.AppendUvarint(dst, uint64(len(col.Name)))
	dst = append(dst, col.Name...)
	dst = append(dst, tag|byte(f)<<tagFormShift)
	dst = binary.AppendUvarint(dst, uint64(len(p)))
	return append(dst, p...)
}

// numbers is the count present values: the column's own memory if it is dense, else gathered in e.words.
func (e *encoder) numbers(col *Column, lo, hi, count int) []uint64 {
	if count == hi-lo {
		return col.Nums[lo:hi]
	}
	v := e.words[:0]
	for row := lo; row < hi; row++ {
		if col.Present.Has(row) {
			v = append(v, col.Nums[row])
		}
	}
	return v
}

func (e *encoder) bools(p []byte, col *Column, lo, hi int) []byte {
	clear(e.truth[:])
	n := 0
	for row := lo; row < hi; row++ {
		if !col.Present.Has(row) {
			continue
		}
		if col.Nums[row] != 0 {
			Bitmap(e.truth[:]).Set(n)
		}
		n++
	}
	return appendBits(p, e.truth[:], n)
}

func (e *encoder) strings(p []byte, col *Column, lo, hi int) ([]byte, form) {
	e.texts.reset()
	v, previous := e.words[:0], uint64(0)
	for row := lo; row < hi; row++ {
		if col.Present.Has(row) {
			previous = e.texts.index(col.Strs[row], previous)
			v = append(v, previous)
		}
	}
	p = e.texts.append(p)
	e.texts.reset()
	f, _ := chooseForm(v)
	return appendStream(p, f, v), f
}
