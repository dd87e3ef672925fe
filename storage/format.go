package storage

// Byte layouts of this package. Integers are little-endian unless said otherwise; "lp x" is uvarint length | bytes.
//
// # Log entry data
//
// Concatenated frames, so that merging proposals is concatenation:
//
//	entry   = frame*
//	frame   = uvarint length | command                 length counts the command
//	command = kind (1) | body
//
//	put     (1) row*                                   until the end of the frame
//	delete  (2) lp database | lp collection | lp device | from (8) | to (8)     empty name = all
//	retain  (3) lp database | before window (8)
//	cut     (4) lp id | lp purpose | ttl ns (8) | flags (1)                     flag 1: holds the log too
//	lease   (5) lp id | lp purpose | ttl ns (8) [from (8)]                      holds the log, pins nothing; from: the index
//	                                                                            that it holds the log from, its own if absent
//	end     (6) lp id
//	noop    (7)
//	format  (8) block format version (1)
//
//	row     = tag (1) [series] [schema] time values
//	tag     = bits 0-1 series: 0 as in the row before, 1 uvarint number of an earlier one, 2 lp device (of the
//	          collection named last), 3 lp database | lp collection | lp device
//	          bits 2-3 schema: 0 as in the row before, 1 uvarint number of an earlier one, 2 lp fields
//	          bits 4-7 zero
//	fields  = (kind (1) | lp name)*                    series and schemas are numbered in order of appearance
//	time    = zigzag uvarint of the difference to the row before (to 0 in the first row), in ns
//	values  = one a field: float64 8 bytes; int64 zigzag uvarint; uint64 uvarint; bool 1 byte; string lp
//
// # File (bbolt)
//
//	bucket blocks   window (8, big-endian, sign bit flipped) | slot (1) | series key | part (4, big-endian)
//	                -> block | crc
//	bucket digests  window (8, as above) | slot (1) -> sha256 (32) | points (8) | bytes (8) | index (8) | crc
//	bucket series   series key -> crc                  the series that have blocks: an index for lists and scans
//	bucket meta     name -> value | crc                names and values in meta.go
//	series key      lp database | lp collection | lp device
//	crc             CRC32C (4) over key and value: a flipped bit in either is found, and so is a value under a wrong key
//
// A part is one columnar block (package blocks). Parts of a series and window lie over each other in ascending order of
// part number. They are canonical when they are what the canonical cut (blocks.Columns.Blocks) of all their points
// gives; Encode being canonical, a single part always is.
//
// # State of a shard, as one replica takes it over from another (View.State)
//
//	version (1) | block format (1) | window ns (8) | applied index (8), term (8) | configuration index (8)
//	| lp configuration | lp leases (as in the bucket meta) | crc32c of all before it (4)
//
// Nothing in it belongs to a lineage or a node.
//
// # Stage (bbolt)
//
// The leaves that a replica has fetched so far. Buckets blocks, digests and series are those of a shard's file, with parts
// numbered from 0; the index of its digests is 0, since a stage belongs to no index. In place of bucket meta:
//
//	bucket stage    name -> value | crc                format (8), cluster, group (8), window (8, ns), totals: as in meta
//
// One transaction brings a leaf's parts and its digest, so what has a digest was verified. Seal exchanges bucket stage for
// bucket meta, in one transaction; a stage that is written again after it was sealed exchanges them back.
//
// # Evidence of a leaf that was replaced
//
//	"flotilla evidence" | version (1) | window (8) | slot (1), as in its keys | lp record of its digest, as it lies there
//	then, until the end: uvarint key length | uvarint value length | key | value      of each record of the leaf, as above
//
// # Merge order
//
// It is where equal logs would give different roots, so there is one order, and every reader and writer follows it:
//
//	state = parts by ascending number, then frozen heads oldest first, then the active head
//
//	head   = {deletes, points}
//	put    adds points; an equal (series, time) merges per field name, the later value wins whatever its kind
//	delete removes the points that it matches from the head it arrives in, at once, and is remembered in that head's
//	       deletes; points that arrive after it are not touched by it
//	read   for each layer in order: remove what its deletes match from everything older; then merge its points
//	flush  the same with exactly one head, onto the parts. On disk there are no deletes: what they match is
//	       rewritten in the transaction that writes the head's points and `applied`
//
// A head's deletes and its points commute by then: the deletes were applied to its own points as they arrived, so
// older data sees first all the deletes, then all the points. For the same reason reading a head over parts that
// already contain it changes nothing, so that a reader may see a commit before the head is dropped.
// Merging parts with each other, at any time and in any grouping of neighbours, does not change the state.

const (
	evidenceMagic  = "flotilla evidence"
	evidenceFormat = 1

	takeoverFormat = 1 // version of the state's layout
	stageFormat    = 1 // version of the stage's layout

	partBytes    = 4
	windowBytes  = 8
	leafKeyBytes = windowBytes + 1
	crcBytes     = 4
	maxKeyBytes  = 3 + MaxDatabaseName + MaxCollectionName + MaxDeviceName + 1 // of a series
)
