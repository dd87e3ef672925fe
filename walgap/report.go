package walgap

// Position is a place in a log: an index, and the term of the entry there. Zero is the place before the first entry.
type Position struct{ Index, Term uint64 }

// TermRun says that the entries from First on are of Term, up to the next run's First.
type TermRun struct{ First, Term uint64 }

// Leader is what the leader of a group says of itself.
type Leader struct {
	Cluster string
	Group   uint32
	Lineage string

	// Committed: it has committed a command of its own term.
	Committed bool
	// CanCommit: it can commit one without the target: it and other live voters whose logs take entries are a quorum.
	// A leader that cannot flushes before it reports, so that Record is as high as it can be.
	CanCommit bool

	First, Last uint64    // of its log; First = Last+1 when it is empty (both 0: empty behind Record)
	Terms       []TermRun // of First..Last
	// Record is its snapshot record: what its shard's file holds, and all of it is committed. Zero: none.
	Record Position

	Points, Bytes, Leaves uint64 // of its shard
	// LogBytes is what First..Last takes in its log. 0: not known, and replayed bytes cost nothing then.
	LogBytes uint64
}

// Target is what a replica says of itself.
type Target struct {
	Cluster string
	Group   uint32
	Lineage string // empty where it holds nothing

	// Readable is false when its identity cannot be read: nobody can say whose data these are. A replica that holds
	// nothing is readable.
	Readable bool
	// Damage says how its data failed its own checksums as a whole. Empty: they did not.
	Damage string

	HasData bool     // it has a shard file with applied > 0
	Applied Position // the durable applied of that file

	// First and Last are its log's, both 0 or First = Last+1 when it is empty. A log with a hole or an unreadable entry
	// above Applied counts as one that ends at Applied.
	First, Last uint64
	Terms       []TermRun

	Bytes uint64 // of its shard
}
