package raftlog

// DumpedRecord is one record of a segment file, as `flotilla dump log` prints it.
type DumpedRecord struct {
	Segment  uint64
	Offset   int64
	Sequence uint64 // of its batch
	Kind     string // append, truncate, reset, moved, or batch (an empty one)
	Group    uint32
	Life     uint32
	Index    uint64
	Term     uint64
	Type     string
	Bytes    int    // of Data
	Data     []byte // valid during the call
	Detail   string
	Err      error // the record fails its CRC
}

// DumpSegment reads one segment file, without changing it, and calls yield for each record in order.
func DumpSegment(path string, yield func(DumpedRecord) error) error { panic("todo") }

// DumpVotes reads a vote file, without changing it. err is per record.
func DumpVotes(path string, yield func(r VoteRecord, err error) error) error { panic("todo") }

// DumpBolt reads the log of a boltdb engine's file, without changing it.
func DumpBolt(path string, yield func(DumpedRecord) error) error { panic("todo") }
