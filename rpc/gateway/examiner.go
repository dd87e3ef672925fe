package gateway

import (
	"context"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// Examiner examines the replicas of this node, and acts on them. An error that
// wraps ErrNotPinned says that the replica has no view of the cut.
type Examiner interface {
	Testifier
	Accused
}

// Testifier says what a replica holds at a cut that it has applied.
type Testifier interface {
	// Leaves gives the leaves of only (nil: all) that the replica has, in leaf
	// order: with the digests that are stored, or computed from what lies on disk.
	Leaves(ctx context.Context, group uint32, cut string, reread bool, only []digest.Leaf) (antientropy.LeafList, error)
	// Inspect re-reads everything. progress is told of bytes as they are read. The
	// empty cut is what is applied now.
	Inspect(ctx context.Context, group uint32, cut string, progress func(bytes int64)) (antientropy.Inspected, error)
	// Detail says what points a leaf holds.
	Detail(ctx context.Context, group uint32, cut string, leaf digest.Leaf) (antientropy.Detail, error)
}

// Accused are the acts. All of them may be repeated.
type Accused interface {
	// Accuse marks the replica.
	Accuse(ctx context.Context, group uint32, s antientropy.Suspicion) error
	// Acquit lifts the mark of leaves, or (none) of all.
	Acquit(ctx context.Context, group uint32, leaves []digest.Leaf) error
	// Repair begins the job that brings the replica to equality with good ones, or
	// finds the one that runs. "": there is nothing that a job could do.
	Repair(ctx context.Context, group uint32, r antientropy.Repair) (job api.Job, begun bool, err error)
}
