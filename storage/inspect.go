package storage

import (
	"context"
	"errors"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// ErrRecord: the blocks of a leaf all pass their checksums, but hash to something else than the digest that was stored
// for them: a page of an older state, say. The leaf is accused, not distrusted: compare it with other replicas.
var ErrRecord = errors.New("content is not what its stored digest says")

// BadLeaf is a leaf that an inspection found to be wrong.
type BadLeaf struct {
	Leaf   digest.Leaf
	Cause  error             // a *DamageError: unreadable, and distrusted by now. ErrRecord: readable
	Stored digest.LeafDigest // what its record says; zero: there is none that can be read
	Read   digest.LeafDigest // what its bytes hash to; zero: unreadable
}

// Inspection is what reading all of a shard's file has found.
type Inspection struct {
	Bytes     int64          // read from the disk
	Leaves    int            // read whole
	Bad       []BadLeaf      // in leaf order
	Entries   []digest.Entry // of the leaves that could be read, from their bytes, in leaf order: never from records
	Digests   []digest.Leaf  // records that could not be read over blocks that are right: they are written anew
	Structure error          // a *DamageError that ended the inspection: the file as a whole is damaged. nil: it is sound
	Harmless  []string       // what nobody reads: free pages, the older meta page, tails of pages; damaged or not, as it says
}

// Inspect reads everything that the view reaches from the disk, past the system's memory where it lets us: pages, keys,
// checksums and digests, and whether the file is still the one that was written last. It ends at damage of structure, which
// ends the shard too (Options.Damaged); leaves with blocks that fail are distrusted (Options.BadLeaf), and it goes on.
// pace is told after every piece read, and may wait; its error ends the inspection. nil: none.
func (v *View) Inspect(ctx context.Context, pace func(bytes int) error) (Inspection, error) {
	return Inspection{}, errors.ErrUnsupported
}

// LeafState is what one leaf of a view hashes to, or why it cannot be read (ErrDamaged).
type LeafState struct {
	digest.Entry
	Err error
}

// States lists leaves with their digests: all that have points, or those named (a leaf without points has zero Points).
// reread: from blocks that are read from the disk anew; otherwise from stored digests where there are any. A leaf that
// cannot be read is listed with its error, and does not end the list.
func (v *View) States(ctx context.Context, reread bool, only []digest.Leaf) ([]LeafState, error) {
	return nil, errors.ErrUnsupported
}
