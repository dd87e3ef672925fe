package blocks

import "errors"

var (
	// ErrCorrupt: the bytes are not a block as Encode writes it (checksum, structure or bounds). The stored copy is
	// bad: do not use any of it, fetch the leaf from another replica.
	ErrCorrupt = errors.New("block is corrupt")
	// ErrVersion: the checksum holds but the format version is not one that this binary reads. Upgrade the binary.
	ErrVersion = errors.New("block format version is not supported")
	// ErrTooLarge: more rows, or rows times columns, than one block may hold. Cut the columns with Columns.Blocks.
	ErrTooLarge = errors.New("columns do not fit one block")
	// ErrInvalid: the columns break an invariant (times not ascending, columns not sorted, lengths that differ, one
	// field present twice in a row). A defect of the caller.
	ErrInvalid = errors.New("columns are invalid")
)
