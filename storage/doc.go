// Package storage holds the data of one replica: points in, points out, and a state that is equal on
// every replica that has applied the same log.
//
// Nouns. A Point belongs to a Series (database, collection, device). GroupOf says which Raft group a series
// lives in. A Command is what a log entry carries (Put, Delete, Retain, Cut, ...). A Shard is the state machine
// of one group and its file: Apply brings entries to an in-memory head, the flusher writes heads to bbolt, Scan
// reads parts and heads as one. A cut pins a View: the shard at exactly one index, with its leaves and root.
//
// A Stage is a file of leaves that were fetched and verified; an Assembly is a replica in the making: a stage over a base.
// Seal makes a shard's file of a stage, ApplyStage brings a stage into a closed shard's file.
//
// Who changes what. Apply is called by one goroutine (the group's FSM) and is the only way in. The flusher, one
// goroutine a shard, is the only writer of the file. Scan, Stats, AwaitView and Flush may be called by anyone.
// Budget is shared by all shards of a node and decides which head is flushed when memory runs short.
//
// Damage. What fails a checksum is damage of its leaf: the shard distrusts it at once and tells Options.BadLeaf; a leaf that
// others accuse is distrusted by Distrust. Reads of such a leaf fail, all others go on, and so does the log. What holds the
// file together (pages, keys, the newest meta page, the file's name and length) is structure: damage of it ends the shard
// (Options.Damaged). Inspect reads a whole view from the disk and lists all of it; Scrub does so in steps; States gives the
// digests of leaves that can be read. They read pages without bbolt (boltpage.go, boltwalk.go), which trusts what it maps:
// until the next look, a page with too low a count hides records from Scan without a word. ApplyStage replaces leaves,
// damaged ones too; a damaged structure takes a new file.
//
// What it does not do: it knows nothing of Raft, peers or HTTP, reads no wall clock into its state (ttls run on
// the monotonic clock), and never repairs a damaged file: it reports ErrDamaged and stops writing to it.
//
// Byte layouts and the merge order of parts and heads are written down in format.go.
package storage
