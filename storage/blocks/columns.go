package blocks

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Columns holds points of one series. Times are in ns and strictly ascending. Cols are sorted by (Name, Kind); one name
// may appear once per kind, and then no row has two of them. Any number of rows is allowed; a block holds MaxRows.
// The memory may be reused by every function that fills a *Columns; strings are never overwritten.
type Columns struct {
	Times []int64
	Cols  []Column
}

// Column is one field of one kind. Nums (all kinds but String) or Strs (String) has len(Times) entries, zero where the
// row is absent; the other one is empty. Present nil means that every row has the field.
type Column struct {
	Name    string
	Kind    Kind
	Present Bitmap
	Nums    []uint64
	Strs    []string
}

// Len is the number of rows.
func (c *Columns) Len() int { return len(c.Times) }

// Reset empties c and keeps its memory.
func (c *Columns) Reset() { c.Times, c.Cols = c.Times[:0], c.Cols[:0] }

// Has reports whether the field is present in the row.
func (col *Column) Has(row int) bool { return col.Present.Has(row) }

// Value is the value in the row, false when absent.
func (col *Column) Value(row int) (Value, bool) {
	if !col.Present.Has(row) {
		return Value{}, false
	}
	if col.Kind == String {
		return Value{Kind: String, Str: col.Strs[row]}, true
	}
	return Value{Kind: col.Kind, Num: col.Nums[row]}, true
}

// Row iterates over the fields present in the row, in column order.
func (c *Columns) Row(row int) iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for i := range c.Cols {
			if v, ok := c.Cols[i].Value(row); ok && !yield(c.Cols[i].Name, v) {
				return
			}
		}
	}
}

// AppendFields appends the fields present in the row to dst, in column order.
func (c *Columns) AppendFields(dst []Field, row int) []Field {
	for i := range c.Cols {
		if v, ok := c.Cols[i].Value(row); ok {
			dst = append(dst, Field{Name: c.Cols[i].Name, Value: v})
		}
	}
	return dst
}

// Lookup is the value of a field, of whatever kind, in a row.
func (c *Columns) Lookup(row int, name string) (Value, bool) {
	i, _ := c.find(name, 0)
	for ; i < len(c.Cols) && c.Cols[i].Name == name; i++ {
		if v, ok := c.Cols[i].Value(row); ok {
			return v, true
		}
	}
	return Value{}, false
}

// Rows is the half-open range of rows with from <= time < to, empty if to is not above from.
func (c *Columns) Rows(from, to int64) (lo, hi int) {
	lo, _ = slices.BinarySearch(c.Times, from)
	hi, _ = slices.BinarySearch(c.Times[lo:], to)
	return lo, lo + hi
}

// Bytes estimates the memory that c holds on to, the text of strings included once per row.
func (c *Columns) Bytes() int {
	n := 8 * cap(c.Times)
	for i := range c.Cols {
		col := &c.Cols[i]
		n += columnBytes + 8*cap(col.Present) + 8*cap(col.Nums) + 16*cap(col.Strs)
		for _, s := range col.Strs {
			n += len(s)
		}
	}
	return n
}

// columnBytes is about the size of a Column and its name.
const columnBytes = 112

// Equal reports whether a and b hold the same points: absent rows spelled differently (nil or full bitmap, a column
// present in no row) do not matter.
func Equal(a, b *Columns) bool {
	if !slices.Equal(a.Times, b.Times) {
		return false
	}
	n := len(a.Times)
	skip := func(cols []Column) []Column {
		for len(cols) > 0 && cols[0].Present.Count(n) == 0 {
			cols = cols[1:]
		}
		return cols
	}
	for x, y := skip(a.Cols), skip(b.Cols); ; x, y = skip(x[1:]), skip(y[1:]) {
		if len(x) == 0 || len(y) == 0 {
			return len(x) == len(y)
		}
		if compareColumns(&x[0], &y[0]) != 0 {
			return false
		}
		for row := range n {
			v, ok := x[0].Value(row)
			w, ok2 := y[0].Value(row)
			if ok != ok2 || v != w {
				return false
			}
		}
	}
}

// Check reports the first broken invariant as ErrInvalid. Encode calls it; nothing else has to.
func (c *Columns) Check() error {
	if err := checkTimes(c.Times); err != nil {
		return err
	}
	for i := range c.Cols {
		if err := c.checkColumn(i); err != nil {
			return err
		}
	}
	return nil
}

func checkTimes(times []int64) error {
	for i := 1; i < len(times); i++ {
		if times[i-1] >= times[i] {
			return fmt.Errorf("%w: time %d of row %d does not ascend", ErrInvalid, times[i], i)
		}
	}
	return nil
}

func (c *Columns) checkColumn(i int) error {
	col, n := &c.Cols[i], len(c.Times)
	entries := len(col.Nums)
	if col.Kind == String {
		entries = len(col.Strs)
	}
	switch {
	case !col.Kind.Valid():
		return fmt.Errorf("%w: column %q has kind %d", ErrInvalid, col.Name, col.Kind)
	case entries != n:
		return fmt.Errorf("%w: column %q has %d entries for %d rows", ErrInvalid, col.Name, entries, n)
	case col.Present != nil && len(col.Present) != bitmapWords(n):
		return fmt.Errorf("%w: column %q has a bitmap of %d words for %d rows", ErrInvalid, col.Name, len(col.Present), n)
	case col.Present != nil && n&63 != 0 && col.Present[len(col.Present)-1]>>(n&63) != 0:
		return fmt.Errorf("%w: column %q has bits beyond row %d", ErrInvalid, col.Name, n)
	case i > 0 && compareColumns(&c.Cols[i-1], col) >= 0:
		return fmt.Errorf("%w: column %q %s is out of order", ErrInvalid, col.Name, col.Kind)
	}
	for j := i - 1; j >= 0 && c.Cols[j].Name == col.Name; j-- {
		for off := 0; off < n; off += 64 {
			if presentWord(&c.Cols[j], off, n)&presentWord(col, off, n) != 0 {
				return fmt.Errorf("%w: field %q has two kinds in one row", ErrInvalid, col.Name)
			}
		}
	}
	return nil
}

// presentWord is the presence of the rows off..off+63 of n.
func presentWord(col *Column, off, n int) uint64 {
	if col.Present != nil {
		return col.Present.word(off)
	}
	return lowBits(n - off)
}

func compareColumns(a, b *Column) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return cmp.Compare(a.Kind, b.Kind)
}

// find is where the column (name, kind) is, or would be inserted.
func (c *Columns) find(name string, kind Kind) (int, bool) {
	lo, hi := 0, len(c.Cols)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		col := &c.Cols[mid]
		if k := strings.Compare(col.Name, name); k < 0 || k == 0 && col.Kind < kind {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(c.Cols) && c.Cols[lo].Name == name && c.Cols[lo].Kind == kind
}
