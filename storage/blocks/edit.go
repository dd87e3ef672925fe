package blocks

// DeleteRange removes the rows with from <= time < to.
func (c *Columns) DeleteRange(from, to int64) {
	c.deleteRows(c.Rows(from, to))
}

// Slice keeps only the rows with from <= time < to.
func (c *Columns) Slice(from, to int64) {
	lo, hi := c.Rows(from, to)
	c.deleteRows(hi, c.Len())
	c.deleteRows(0, lo)
}

// DropEmptyRows removes the rows in which no column is present.
func (c *Columns) DropEmptyRows() {
	n := c.Len()
	filled := NewBitmap(n)
	for i := range c.Cols {
		if c.Cols[i].Present == nil {
			return
		}
		for w, x := range c.Cols[i].Present {
			filled[w] |= x
		}
	}
	kept := 0
	for at := 0; at < n; {
		at += runLength(filled, at, n, false)
		keep := runLength(filled, at, n, true)
		c.moveRows(kept, at, keep)
		kept, at = kept+keep, at+keep
	}
	c.truncate(kept)
}

// deleteRows removes the rows lo <= row < hi.
func (c *Columns) deleteRows(lo, hi int) {
	if lo < hi {
		n := c.Len()
		c.moveRows(lo, hi, n-hi)
		c.truncate(n - (hi - lo))
	}
}

// moveRows moves n rows from row src down to row dst <= src.
func (c *Columns) moveRows(dst, src, n int) {
	if dst == src || n == 0 {
		return
	}
	copy(c.Times[dst:], c.Times[src:src+n])
	for i := range c.Cols {
		col := &c.Cols[i]
		if col.Kind == String {
			copy(col.Strs[dst:], col.Strs[src:src+n])
		} else {
			copy(col.Nums[dst:], col.Nums[src:src+n])
		}
		if col.Present != nil {
			copyBits(col.Present, dst, col.Present, src, n)
		}
	}
}

// truncate keeps the first n rows.
func (c *Columns) truncate(n int) {
	c.Times = c.Times[:n]
	for i := range c.Cols {
		col := &c.Cols[i]
		if col.Kind == String {
			clear(col.Strs[n:]) // do not hold on to texts
			col.Strs = col.Strs[:n]
		} else {
			col.Nums = col.Nums[:n]
		}
		if col.Present != nil {
			col.Present = col.Present.truncate(n)
		}
	}
	c.normalize()
}

// CopyRows fills dst (not c) with the rows lo <= row < hi of c.
func (c *Columns) CopyRows(dst *Columns, lo, hi int) {
	dst.Reset()
	n := hi - lo
	dst.Times = append(dst.Times, c.Times[lo:hi]...)
	for i := range c.Cols {
		src := &c.Cols[i]
		if src.countRows(lo, hi) == 0 {
			continue
		}
		col := dst.nextColumn(src.Name, src.Kind)
		if src.Kind == String {
			col.Strs = append(col.Strs, src.Strs[lo:hi]...)
		} else {
			col.Nums = append(col.Nums, src.Nums[lo:hi]...)
		}
		if src.Present == nil {
			col.Present = nil
			continue
		}
		col.Present = padded(col.Present, bitmapWords(n))
		copyBits(col.Present, 0, src.Present, lo, n)
	}
	dst.normalize()
}
