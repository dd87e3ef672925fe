package blocks

import "iter"

// Blocks iterates over the canonical cut of c into blocks, as ranges of rows for EncodeRows. It depends on the points
// alone, so two replicas that hold the same points of a series-window make the same blocks.
//
// The cut, part of the format: from the first row on, a block takes rows until it has MaxRows, or until one more row
// would make rows x columns (those present in its rows) pass MaxCells, or once its texts have softTextBytes.
func (c *Columns) Blocks() iter.Seq2[int, int] {
	return func(yield func(int, int) bool) {
		for lo := 0; lo < c.Len(); {
			hi := c.blockEnd(lo)
			if !yield(lo, hi) {
				return
			}
			lo = hi
		}
	}
}

// blockEnd is where the block that begins at row lo ends.
func (c *Columns) blockEnd(lo int) int {
	end := min(c.Len(), lo+MaxRows)
	plain := (end-lo)*len(c.Cols) <= MaxCells
	for i := range c.Cols {
		plain = plain && c.Cols[i].Kind != String
	}
	if plain { // then no bound below can be reached
		return end
	}
	seen := make([]bool, len(c.Cols))
	cols, text := 0, 0
	for row := lo; row < end; row++ {
		for i := range c.Cols {
			col := &c.Cols[i]
			if seen[i] && col.Kind != String || !col.Has(row) {
				continue
			}
			if !seen[i] {
				seen[i] = true
				cols++
			}
			if col.Kind == String {
				text += len(col.Strs[row])
			}
		}
		if row > lo && (row-lo+1)*cols > MaxCells {
			return row
		}
		if text >= softTextBytes {
			return row + 1
		}
	}
	return end
}
