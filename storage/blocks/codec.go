package blocks

import "iter"

// Header is what Peek tells of a block.
type Header struct {
	Version     uint8
	Rows        int   // 1..MaxRows, or 0 for the empty block
	First, Last int64 // times in ns of the first and last row
}

// Encode appends the canonical block of all rows of c to dst. ErrTooLarge when they do not fit one block.
func Encode(dst []byte, c *Columns) ([]byte, error) { return EncodeRows(dst, c, 0, c.Len()) }

// EncodeRows appends the canonical block of the rows lo <= row < hi to dst.
func EncodeRows(dst []byte, c *Columns, lo, hi int) ([]byte, error) { panic("soon") }

// Blocks iterates over the canonical cut of c into blocks, as ranges of rows for EncodeRows. It depends on the points
// alone, so two replicas that hold the same points of a series-window make the same blocks.
func (c *Columns) Blocks() iter.Seq2[int, int] { panic("soon") }

// Decode fills c with the points of the block b, reusing c's memory. It checks the CRC and every bound; on an error c
// is empty. c does not refer to b afterwards.
func Decode(b []byte, c *Columns) error { return DecodeFields(b, c, nil) }

// DecodeFields is Decode for the columns whose name want accepts (nil: all). Every row stays: see DropEmptyRows.
func DecodeFields(b []byte, c *Columns, want func(name string) bool) error { panic("soon") }

// Peek checks the CRC and reads the header; columns are not decoded.
func Peek(b []byte) (Header, error) { panic("soon") }

// Merge fills dst with the points of all layers: at one time the fields merge, and a later layer wins per field name (a
// later value of another kind replaces the earlier one). dst must not be one of the layers and shares no memory with
// them afterwards, except the text of strings.
func Merge(dst *Columns, layers ...*Columns) { panic("soon") }

// DeleteRange removes the rows with from <= time < to.
func (c *Columns) DeleteRange(from, to int64) { panic("soon") }

// Slice keeps only the rows with from <= time < to.
func (c *Columns) Slice(from, to int64) { panic("soon") }

// DropEmptyRows removes the rows in which no column is present.
func (c *Columns) DropEmptyRows() { panic("soon") }

// CopyRows fills dst (not c) with the rows lo <= row < hi of c.
func (c *Columns) CopyRows(dst *Columns, lo, hi int) { panic("soon") }

// Builder gathers rows in order of arrival: any order of times, repeated times merge per field, the later call wins.
// The zero Builder is ready. It is not safe for concurrent use.
type Builder struct{ c Columns }

// Append adds one point. Names and texts are kept as they are, so they must not be overwritten later.
func (b *Builder) Append(time int64, fields []Field) { panic("soon") }

// Columns sorts what has arrived since the last call, and returns the points. They stay the Builder's: valid until its
// next method call; edits in place (DeleteRange, Slice) are allowed.
func (b *Builder) Columns() *Columns { panic("soon") }

// Len is the number of rows appended and not deleted; repeated times count until Columns merges them.
func (b *Builder) Len() int { panic("soon") }

// Bytes estimates the memory held, for a budget; cheap.
func (b *Builder) Bytes() int { panic("soon") }

// Reset empties the Builder and keeps its memory.
func (b *Builder) Reset() { panic("soon") }
