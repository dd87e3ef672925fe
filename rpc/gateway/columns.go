package gateway

import (
	"slices"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// cloneRows copies rows that are only lent, and turns them round for a
// descending query.
func cloneRows(c *blocks.Columns, reverse bool) *blocks.Columns {
	out := &blocks.Columns{Times: slices.Clone(c.Times), Cols: make([]blocks.Column, len(c.Cols))}
	numeric := 0
	for i := range c.Cols {
		numeric += len(c.Cols[i].Nums)
	}
	nums := make([]uint64, 0, numeric) // of all columns
	for i := range c.Cols {
		col := &c.Cols[i]
		at := len(nums)
		nums = append(nums, col.Nums...)
		out.Cols[i] = blocks.Column{Name: col.Name, Kind: col.Kind, Present: slices.Clone(col.Present), Strs: slices.Clone(col.Strs)}
		if len(nums) > at {
			out.Cols[i].Nums = nums[at:len(nums):len(nums)]
		}
	}
	if reverse {
		reverseRows(out)
	}
	return out
}

func reverseRows(c *blocks.Columns) {
	rows := c.Len()
	slices.Reverse(c.Times)
	for i := range c.Cols {
		col := &c.Cols[i]
		slices.Reverse(col.Nums)
		slices.Reverse(col.Strs)
		if col.Present == nil {
			continue
		}
		turned := blocks.NewBitmap(rows)
		for row := range rows {
			if col.Present.Has(row) {
				turned.Set(rows - 1 - row)
			}
		}
		col.Present = turned
	}
}

// rowBytes estimates the memory of rows.
func rowBytes(c *blocks.Columns) int {
	n := 8*len(c.Times) + 64
	for i := range c.Cols {
		n += 64 + 8*len(c.Cols[i].Nums) + 16*len(c.Cols[i].Strs) + 8*len(c.Cols[i].Present)
		for _, s := range c.Cols[i].Strs {
			n += len(s)
		}
	}
	return n
}
