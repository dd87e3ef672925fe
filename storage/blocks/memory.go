package blocks

import "slices"

// resize is s with n entries, in its own memory if that suffices. What the entries hold is not defined.
func resize[S ~[]E, E any](s S, n int) S {
	if n <= cap(s) {
		return s[:n]
	}
	return slices.Grow(s[:0], n)[:n]
}

// padded is s with n entries, those added zero.
func padded[S ~[]E, E any](s S, n int) S {
	have := len(s)
	s = slices.Grow(s, n-have)[:n]
	clear(s[have:])
	return s
}

// extend is s with one more entry; what the entry held when s was longer is kept, for its memory.
func extend(s []Column) []Column {
	if len(s) < cap(s) {
		return s[:len(s)+1]
	}
	return append(s, Column{})
}

// nextColumn appends a column to c in the memory of the one that was there before.
func (c *Columns) nextColumn(name string, kind Kind) *Column {
	c.Cols = extend(c.Cols)
	col := &c.Cols[len(c.Cols)-1]
	col.Name, col.Kind = name, kind
	col.Present, col.Nums, col.Strs = col.Present[:0], col.Nums[:0], col.Strs[:0]
	return col
}

// normalize spells c in the one way: no bitmap where every row is present, no column that is present nowhere.
func (c *Columns) normalize() {
	n, kept := c.Len(), 0
	for i := range c.Cols {
		col := &c.Cols[i]
		count := n
		if col.Present != nil {
			count = col.Present.Count(n)
		}
		if count == 0 {
			continue
		}
		if count == n {
			col.Present = nil
		}
		c.Cols[kept], c.Cols[i] = c.Cols[i], c.Cols[kept] // swapped: memory of dropped columns stays for reuse
		kept++
	}
	c.Cols = c.Cols[:kept]
}
