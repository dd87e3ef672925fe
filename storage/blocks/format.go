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

// A block, version 1. Integers are little endian; uvarint and zigzag are those of encoding/binary.
//
//	+---------+--------------+-----------------------------------------------------+------------+
//	| version | rows uvarint | body, absent when rows is 0                         | CRC32C 4 B |
//	|  1 B    | 0..4096      |                                                     | of all     |
//	+---------+--------------+-----------------------------------------------------+ before it  |
//	                         | times | columns uvarint | column | column | ...     |------------+
//
//	times (rows = 1: only first)
//	+------------+--------------+------------------+----------+----------------------------------+
//	| first 8 B  | step uvarint | span/step uvarint| form 1 B | stream of rows-1 deltas / step   |
//	+------------+--------------+------------------+----------+----------------------------------+
//	first is the time of row 0 in ns (two's complement), step the greatest common divisor of all deltas, span the time
//	from first to last row. The deltas are unsigned 64 bit: from the least to the greatest int64 they do not overflow.
//
//	column, sorted by (name, kind), present in at least one row
//	+---------------------+------+--------+-----------------+------------------------------------+
//	| name length uvarint | name | tag 1 B| payload uvarint | payload: [presence] values         |
//	+---------------------+------+--------+-----------------+------------------------------------+
//	tag: bits 0-2 kind | bits 3-4 form of the stream | bit 5 scaled floats | bit 6 some rows are absent | bit 7 zero
//
//	presence, if bit 6: bits of all rows      values hold the present rows only, in row order:
//	  Int64, Uint64, Float64:  stream of the 64-bit patterns
//	  Float64 scaled:          exponent 1 B (bit 7: exceptions follow) | [exceptions] | stream of integers
//	                           value = integer / 10^exponent, an exact decimal; exceptions: count uvarint, then for
//	                           each (rows skipped uvarint | bit pattern 8 B): NaN, -0.0, or too many digits
//	  Bool:                    bits
//	  String:                  entries uvarint | length uvarint of each | text of each | stream of entry numbers;
//	                           entries are in order of first appearance
//
//	bits: mode 1 B | mode 0: one bit a row, row 0 lowest in the first byte, zero padded
//	               | mode 1: uvarint run lengths, absent (false) run first, that one may be 0
//
//	stream of n 64-bit words, form = order 0, 1, 2 (differences taken 0, 1, 2 times, modulo 2^64):
//	+---------------------------------------+-------------------------------------------------+-------+
//	| min(order, n) zigzag: first value and | group of 64 residuals (the last one has fewer): | group | ...
//	| first difference                      | width 0..64 1 B | [min zigzag] | packed bits    |       |
//	+---------------------------------------+-------------------------------------------------+-------+
//	width bit 7: min is that of the group before (0 before the first). A residual is min + width bits, lowest bit first.
//
//	stream, form 3 (XOR): bits, lowest first, zero padded to a byte. First word 64 bits; then for each word
//	  0                                    the word before
//	  1 0 <bits>                           XOR with the word before lies in the bit window of the last 1 1
//	  1 1 <low 6> <length-1 6> <bits>      XOR with the word before, lowest set bit and length of its window
//
// The encoder takes the cheapest form in bytes, the lowest number if equal (form.go), and scaled floats where they win
// (scaled.go). These choices are part of the format, since digests cover the bytes.

// form says how a stream of 64-bit words is written.
type form uint8

const (
	formPlain  form = iota // order 0
	formDelta              // order 1
	formDelta2             // order 2
	formXOR
	forms = iota
)

const (
	tagKindMask  = 0x07
	tagFormShift = 3
	tagFormMask  = 0x03
	tagScaled    = 0x20
	tagSparse    = 0x40
	tagUnused    = 0x80
)

const (
	bitsRaw  = 0
	bitsRuns = 1
)

const (
	groupLen       = 64   // residuals of one packed group
	widthMask      = 0x7f // of a group's first byte
	widthSameMin   = 0x80
	exponentMask   = 0x7f
	exponentExcept = 0x80
	crcBytes       = 4
	minColumnBytes = 3 // name length, tag, payload length: bounds the count of columns by the bytes that remain
)
