package blocks

// FormatVersion is the version that Encode writes: the first byte of a block.
const FormatVersion = 1

// Bounds of one block. Encode refuses more, Decode allocates no more.
const (
	// MaxRows is the most rows in one block; a series-window with more points is several blocks.
	MaxRows = 4096
	// MaxCells bounds rows x columns of one block, and with it the memory of a decoded one (8 or 16 bytes a cell).
	MaxCells = MaxRows * 256
	// softTextBytes closes a canonical block: a block takes no further row once its strings have this many bytes.
	softTextBytes = 1 << 20
)
