package walgap

// Position is a place in a log: an index, and the term of the entry there. Zero is the place before the first entry.
type Position struct {
	Index uint64 `json:"index"`
	Term  uint64 `json:"term"`
}

// TermRun says that the entries from First on are of Term, up to the next run's First.
type TermRun struct {
	First uint64 `json:"first"`
	Term  uint64 `json:"term"`
}

// Leader is what the leader of a group says of itself.
type Leader struct {
	Cluster string `json:"cluster"`
	Group   uint32 `json:"group"`
	Lineage string `json:"lineage"`

	// Committed: it has committed a command of its own term.
	Committed bool `json:"committed"`
	// CanCommit: it can commit one without the target: it and other live voters whose logs take entries are a quorum.
	// A leader that cannot flushes before it reports, so that Record is as high as it can be.
	CanCommit bool `json:"can_commit"`

	First uint64    `json:"first"` // of its log; First = Last+1 when it is empty (both 0: empty behind Record)
	Last  uint64    `json:"last"`
	Terms []TermRun `json:"terms"` // of First..Last
	// Record is its snapshot record: what its shard's file holds, and all of it is committed. Zero: none.
	Record Position `json:"record"`

	Points uint64 `json:"points"` // of its shard, as are the next two
	Bytes  uint64 `json:"bytes"`
	Leaves uint64 `json:"leaves"`
	// LogBytes is what First..Last takes in its log. 0: not known, and replayed bytes cost nothing then.
	LogBytes uint64 `json:"log_bytes,omitempty"`
}

// Target is what a replica says of itself.
type Target struct {
	Cluster string `json:"cluster"`
	Group   uint32 `json:"group"`
	Lineage string `json:"lineage"` // empty where it holds nothing

	// Readable is false when its identity cannot be read: nobody can say whose data these are. A replica that holds
	// nothing is readable.
	Readable bool `json:"readable"`
	// Damage says how its data failed its own checksums as a whole. Empty: they did not.
	Damage string `json:"damage,omitempty"`

	HasData bool     `json:"has_data"` // it has a shard file with applied > 0
	Applied Position `json:"applied"`  // the durable applied of that file

	// First and Last are its log's, both 0 or First = Last+1 when it is empty. A log with a hole or an unreadable entry
	// above Applied counts as one that ends at Applied.
	First uint64    `json:"first"`
	Last  uint64    `json:"last"`
	Terms []TermRun `json:"terms"` // of First..Last

	Bytes uint64 `json:"bytes"` // of its shard
}
