package pb

import (
	"errors"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// errColumns: a message that holds no legal rows.
var errColumns = errors.New("malformed rows")

// RowsMessage wraps rows as a message; it shares their memory.
func RowsMessage(device string, c *blocks.Columns) *QueryReply {
	m := &QueryReply{Device: device, Times: c.Times, Columns: make([]*Column, len(c.Cols))}
	columns := make([]Column, len(c.Cols)) // one allocation for all
	for i := range c.Cols {
		col, out := &c.Cols[i], &columns[i]
		out.Name, out.Kind, out.Present = col.Name, Kind(col.Kind), col.Present
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
func RowsOf(m *QueryReply) (*blocks.Columns, error) {
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
