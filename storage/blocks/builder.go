package blocks

import (
	"cmp"
	"slices"
)

// Builder gathers rows in order of arrival: any order of times, repeated times merge per field, the later call wins.
// The zero Builder is ready. It is not safe for concurrent use.
type Builder struct {
	c      Columns // rows in order of arrival; a column may be shorter than Times until Columns pads it
	sorted int     // the first rows, whose times ascend strictly
	mixed  bool    // some field has had several kinds
	hints  []int   // column of the field at each position of the last point: points of a series look alike
	text   int     // bytes of the texts appended
}

// Append adds one point. Names and texts are kept as they are, so they must not be overwritten later.
func (b *Builder) Append(time int64, fields []Field) {
	row := len(b.c.Times)
	b.sorted = min(b.sorted, row) // Columns may have been shortened in place
	if row > 0 && b.c.Times[row-1] == time {
		row--
	} else {
		if b.sorted == row && (row == 0 || b.c.Times[row-1] < time) {
			b.sorted++
		}
		b.c.Times = append(b.c.Times, time)
	}
	for i := range fields {
		b.set(row, i, &fields[i])
	}
}

// set puts the field at this position of a point into the last row.
func (b *Builder) set(row, position int, f *Field) {
	i := b.column(position, f)
	if b.mixed {
		b.removeOtherKinds(row, i)
	}
	col := &b.c.Cols[i]
	if col.entries() < row {
		col.pad(row)
	}
	if col.Kind == String {
		b.text += len(f.Value.Str)
		if len(col.Strs) == row {
			col.Strs = append(col.Strs, "")
		}
		col.Strs[row] = f.Value.Str
	} else {
		if len(col.Nums) == row {
			col.Nums = append(col.Nums, 0)
		}
		col.Nums[row] = f.Value.Num
	}
	if col.Present != nil {
		col.Present = col.Present.grown(row + 1)
		col.Present.Set(row)
	}
}

// column is the index of the column of a field, made if there is none.
func (b *Builder) column(position int, f *Field) int {
	if position < len(b.hints) {
		if i := b.hints[position]; i < len(b.c.Cols) && b.c.Cols[i].Kind == f.Value.Kind && b.c.Cols[i].Name == f.Name {
			return i
		}
	}
	i, ok := b.c.find(f.Name, f.Value.Kind)
	if !ok {
		last := b.c.nextColumn(f.Name, f.Value.Kind)
		col := *last
		col.Present = nil
		copy(b.c.Cols[i+1:], b.c.Cols[i:])
		b.c.Cols[i] = col
		b.mixed = b.mixed || i > 0 && b.c.Cols[i-1].Name == f.Name ||
			i+1 < len(b.c.Cols) && b.c.Cols[i+1].Name == f.Name
	}
	b.hints = padded(b.hints, max(len(b.hints), position+1))
	b.hints[position] = i
	return i
}

// removeOtherKinds makes the field of column i absent from the row in its other kinds.
func (b *Builder) removeOtherKinds(row, i int) {
	name, cols := b.c.Cols[i].Name, b.c.Cols
	lo, _ := b.c.find(name, 0)
	for ; lo < len(cols) && cols[lo].Name == name; lo++ {
		if col := &cols[lo]; lo != i && col.entries() > row {
			col.materialize()
			col.remove(row)
		}
	}
}

func (col *Column) entries() int {
	if col.Kind == String {
		return len(col.Strs)
	}
	return len(col.Nums)
}

// materialize gives the column a bitmap if it has none.
func (col *Column) materialize() {
	if col.Present == nil {
		n := col.entries()
		col.Present = NewBitmap(n)
		col.Present.setRange(0, n)
	}
}

// pad appends absent rows until there are n.
func (col *Column) pad(n int) {
	col.materialize()
	if col.Present = col.Present.grown(n); col.Kind == String {
		col.Strs = padded(col.Strs, n)
	} else {
		col.Nums = padded(col.Nums, n)
	}
}

// Columns sorts what has arrived since the last call, and returns the points. They stay the Builder's: valid until its
// next method call; edits in place (DeleteRange, Slice) are allowed.
func (b *Builder) Columns() *Columns {
	n := b.c.Len()
	for i := range b.c.Cols {
		if b.c.Cols[i].entries() < n {
			b.c.Cols[i].pad(n)
		}
	}
	if b.sorted < n {
		b.sort()
	} else {
		b.c.normalize()
	}
	b.sorted = b.c.Len()
	return &b.c
}

// sort orders the rows behind the sorted ones, and merges all rows of equal times in order of arrival.
func (b *Builder) sort() {
	times := b.c.Times
	tail := make([]int, len(times)-b.sorted)
	for i := range tail {
		tail[i] = b.sorted + i
	}
	slices.SortFunc(tail, func(x, y int) int {
		if c := cmp.Compare(times[x], times[y]); c != 0 {
			return c
		}
		return cmp.Compare(x, y)
	})
	m := mergers.Get().(*merger)
	defer m.release()
	var out Columns
	out.Times = make([]int64, 0, len(times))
	for head := 0; head < b.sorted || len(tail) > 0; {
		row := head
		if head == b.sorted || len(tail) > 0 && times[tail[0]] < times[head] {
			row, tail = tail[0], tail[1:]
		} else {
			head++
		}
		m.addRow(&out, times[row], row)
	}
	m.sources = append(m.sources, source{cols: b.c.Cols, hi: len(m.runs)})
	m.fill(&out)
	b.c = out
}

// addRow appends row src, of a time not before the last one of out, to the runs, joined to the last run if possible.
func (m *merger) addRow(out *Columns, time int64, src int) {
	if n := len(out.Times); n == 0 || out.Times[n-1] != time {
		out.Times = append(out.Times, time)
	}
	dst := len(out.Times) - 1
	if k := len(m.runs) - 1; k >= 0 && m.runs[k].src+m.runs[k].n == src && m.runs[k].dst+m.runs[k].n == dst {
		m.runs[k].n++
		return
	}
	m.runs = append(m.runs, run{src, dst, 1})
}

// Len is the number of rows appended and not deleted; repeated times count until Columns merges them.
func (b *Builder) Len() int { return b.c.Len() }

// Bytes estimates the memory held, for a budget; cheap.
func (b *Builder) Bytes() int {
	n := builderBytes + b.text + 8*(cap(b.c.Times)+cap(b.hints))
	for i := range b.c.Cols {
		col := &b.c.Cols[i]
		n += columnBytes + 8*cap(col.Present) + 8*cap(col.Nums) + 16*cap(col.Strs)
	}
	return n
}

// builderBytes is about the size of a Builder.
const builderBytes = 112

// Reset empties the Builder and keeps its memory.
func (b *Builder) Reset() {
	b.c.Reset()
	b.sorted, b.mixed, b.text, b.hints = 0, false, 0, b.hints[:0]
}
