package gateway

import (
	"errors"
	"slices"

	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// errColumns: a message that holds no legal rows.
var errColumns = errors.New("malformed rows")

// RowsMessage wraps rows as a message; it shares their memory.
func RowsMessage(device string, c *blocks.Columns) *pb.QueryReply {
	m := &pb.QueryReply{Device: device, Times: c.Times, Columns: make([]*pb.Column, len(c.Cols))}
	for i := range c.Cols {
		col := &c.Cols[i]
		out := &pb.Column{Name: col.Name, Kind: pb.Kind(col.Kind), Present: col.Present}
		if col.Kind == blocks.String {
			out.Texts = col.Strs
		} else {
			out.Nums = col.Nums
		}
		m.Columns[i] = out
	}
	return m
}

// RowsOf unwraps what RowsMessage wrapped, and checks it; it shares the
// message's memory.
func RowsOf(m *pb.QueryReply) (*blocks.Columns, error) {
	rows := len(m.GetTimes())
	c := &blocks.Columns{Times: m.GetTimes(), Cols: make([]blocks.Column, len(m.GetColumns()))}
	for i, in := range m.GetColumns() {
		col := blocks.Column{Name: in.GetName(), Kind: blocks.Kind(in.GetKind()), Nums: in.GetNums(), Strs: in.GetTexts()}
		if len(in.GetPresent()) > 0 {
			col.Present = in.GetPresent()
			if len(col.Present) != (rows+63)/64 {
				return nil, errColumns
			}
		}
		values, other := len(col.Nums), len(col.Strs)
		if col.Kind == blocks.String {
			values, other = other, values
		}
		if in.GetKind() < 0 || in.GetKind() > 255 || !col.Kind.Valid() || values != rows || other != 0 {
			return nil, errColumns
		}
		c.Cols[i] = col
	}
	return c, nil
}

// cloneRows copies rows that are only lent, and turns them round for a
// descending query.
func cloneRows(c *blocks.Columns, reverse bool) *blocks.Columns {
	out := &blocks.Columns{Times: slices.Clone(c.Times), Cols: make([]blocks.Column, len(c.Cols))}
	for i := range c.Cols {
		col := &c.Cols[i]
		out.Cols[i] = blocks.Column{Name: col.Name, Kind: col.Kind, Present: slices.Clone(col.Present),
			Nums: slices.Clone(col.Nums), Strs: slices.Clone(col.Strs)}
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
