package blocks

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"
)

// Header is what Peek tells of a block.
type Header struct {
	Version     uint8
	Rows        int   // 0..MaxRows
	First, Last int64 // times in ns of the first and last row; 0 if there is none
}

// Peek checks the CRC and reads the header; columns are not decoded.
func Peek(b []byte) (Header, error) {
	h, body, err := open(b)
	if err != nil || h.Rows == 0 {
		return h, err
	}
	times, _, ok := readTimesHead(body, h.Rows)
	if !ok {
		return Header{}, fmt.Errorf("%w: times", ErrCorrupt)
	}
	h.First, h.Last = times.first, times.last
	return h, nil
}

// open checks the CRC and returns what lies between row count and CRC. The CRC comes before the version: a flipped
// version byte is damage, not a block of the future.
func open(b []byte) (Header, []byte, error) {
	if len(b) < 2+crcBytes {
		return Header{}, nil, fmt.Errorf("%w: %d bytes", ErrCorrupt, len(b))
	}
	body := b[:len(b)-crcBytes]
	if binary.LittleEndian.Uint32(b[len(body):]) != crc32.Checksum(body, castagnoli) {
		return Header{}, nil, fmt.Errorf("%w: checksum of %d bytes differs", ErrCorrupt, len(b))
	}
	if body[0] != FormatVersion {
		return Header{}, nil, fmt.Errorf("%w: %d, this binary reads %d", ErrVersion, body[0], FormatVersion)
	}
	rows, rest, ok := readUvarint(body[1:])
	if !ok || rows > MaxRows || rows == 0 && len(rest) > 0 {
		return Header{}, nil, fmt.Errorf("%w: row count", ErrCorrupt)
	}
	return Header{Version: body[0], Rows: int(rows)}, rest, nil
}

// Decode fills c with the points of the block b, reusing c's memory. It checks the CRC and every bound; on an error c
// is empty. c does not refer to b afterwards.
func Decode(b []byte, c *Columns) error { return DecodeFields(b, c, nil) }

// DecodeFields is Decode for the columns whose name want accepts (nil: all). Every row stays: see DropEmptyRows.
func DecodeFields(b []byte, c *Columns, want func(name string) bool) error {
	c.Reset()
	h, body, err := open(b)
	if err != nil || h.Rows == 0 {
		return err
	}
	d := decoders.Get().(*decoder)
	defer decoders.Put(d)
	if err := d.block(body, c, h.Rows, want); err != nil {
		c.Reset()
		return err
	}
	return nil
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// decoder is the scratch memory of one Decode.
type decoder struct {
	words [MaxRows]uint64
	texts []string
}

func (d *decoder) block(b []byte, c *Columns, rows int, want func(string) bool) error {
	c.Times = resize(c.Times, rows)
	b, ok := readTimes(b, c.Times, d.words[:])
	if !ok {
		return fmt.Errorf("%w: times", ErrCorrupt)
	}
	cols, b, ok := readUvarint(b)
	if !ok || cols > uint64(MaxCells/rows) || cols > uint64(len(b)/minColumnBytes) {
		return fmt.Errorf("%w: column count", ErrCorrupt)
	}
	previous, previousKind := []byte(nil), Kind(0)
	for i := range int(cols) {
		name, tag, payload, rest, ok := readColumnHead(b)
		kind := Kind(tag & tagKindMask)
		if !ok || !kind.Valid() || i > 0 && !ascends(previous, previousKind, name, kind) {
			return fmt.Errorf("%w: head of column %d", ErrCorrupt, i)
		}
		previous, previousKind, b = name, kind, rest
		col := c.nextColumn(c.nameOf(name), kind)
		if want != nil && !want(col.Name) {
			c.Cols = c.Cols[:len(c.Cols)-1]
			continue
		}
		if !d.column(col, tag, payload, rows) {
			return fmt.Errorf("%w: column %q %s", ErrCorrupt, name, kind)
		}
		if err := c.checkColumn(len(c.Cols) - 1); err != nil {
			return fmt.Errorf("%w: %s", ErrCorrupt, err)
		}
	}
	if len(b) > 0 {
		return fmt.Errorf("%w: %d bytes behind the last column", ErrCorrupt, len(b))
	}
	return nil
}

func ascends(a []byte, aKind Kind, b []byte, bKind Kind) bool {
	return string(a) < string(b) || string(a) == string(b) && aKind < bKind
}

func readColumnHead(b []byte) (name []byte, tag byte, payload, rest []byte, ok bool) {
	n, b, ok := readUvarint(b)
	if !ok || n >= uint64(len(b)) {
		return nil, 0, nil, nil, false
	}
	name, tag, b = b[:n], b[n], b[n+1:]
	size, b, ok := readUvarint(b)
	if !ok || size > uint64(len(b)) {
		return nil, 0, nil, nil, false
	}
	return name, tag, b[:size], b[size:], true
}

// nameOf is name as a string, that of the column decoded there before if it is the same.
func (c *Columns) nameOf(name []byte) string {
	if i := len(c.Cols); i < cap(c.Cols) {
		if old := c.Cols[:i+1][i].Name; old == string(name) {
			return old
		}
	}
	return string(name)
}

// column fills col from its payload.
func (d *decoder) column(col *Column, tag byte, p []byte, rows int) bool {
	f, ok := form(tag>>tagFormShift&tagFormMask), true
	if tag&tagUnused != 0 || tag&tagScaled != 0 && col.Kind != Float64 || col.Kind == Bool && f != 0 {
		return false
	}
	count := rows
	var present Bitmap
	if tag&tagSparse != 0 {
		present = resize(col.Present, bitmapWords(rows))
		clear(present)
		if p, ok = readBits(p, present, rows); !ok {
			return false
		}
		if count = present.Count(rows); count == 0 || count == rows {
			return false
		}
	}
	switch {
	case col.Kind == String:
		p, ok = d.strings(col, f, p, rows, count, present)
	case col.Kind == Bool:
		col.Nums = resize(col.Nums, rows)
		p, ok = d.bools(p, col.Nums[:count])
	case tag&tagScaled != 0:
		col.Nums = resize(col.Nums, rows)
		p, ok = readScaled(p, f, col.Nums[:count])
	default:
		col.Nums = resize(col.Nums, rows)
		p, ok = readStream(p, f, col.Nums[:count])
	}
	if !ok || len(p) > 0 {
		return false
	}
	if col.Kind != String && count < rows {
		spread(col.Nums, present, count)
	}
	col.Present = present
	return true
}

// spread moves the count packed values at the front of nums to the present rows, from the last one down.
func spread(nums []uint64, present Bitmap, count int) {
	for row := len(nums) - 1; row >= 0; row-- {
		if present.Has(row) {
			count--
			nums[row] = nums[count]
		} else {
			nums[row] = 0
		}
	}
}

func (d *decoder) bools(p []byte, nums []uint64) ([]byte, bool) {
	truth := Bitmap(d.words[:bitmapWords(len(nums))])
	clear(truth)
	p, ok := readBits(p, truth, len(nums))
	for i := range nums {
		nums[i] = truth[i>>6] >> (i & 63) & 1
	}
	return p, ok
}

func (d *decoder) strings(col *Column, f form, p []byte, rows, count int, present Bitmap) ([]byte, bool) {
	var ok bool
	d.texts, p, ok = readTexts(p, d.texts[:0], count)
	defer func() { clear(d.texts) }() // a pooled decoder must not hold on to texts
	if !ok {
		return nil, false
	}
	numbers := d.words[:count]
	if p, ok = readStream(p, f, numbers); !ok {
		return nil, false
	}
	col.Strs = resize(col.Strs, rows)
	next := 0
	for row := range col.Strs {
		if count < rows && !present.Has(row) {
			col.Strs[row] = ""
			continue
		}
		n := numbers[next]
		if next++; n >= uint64(len(d.texts)) {
			return nil, false
		}
		col.Strs[row] = d.texts[n]
	}
	return p, true
}
