package resync

import (
	"context"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap"
)

// Replica is the target: this node's replica of the group, whether it runs or not. Its methods may be called at any
// time, held or not, and by several goroutines. Report and Progress are cheap and change nothing.
type Replica interface {
	// Report is what plan sends to the leader.
	Report(ctx context.Context) (Standing, error)
	// Progress is what replay and promote watch.
	Progress(ctx context.Context) (Progress, error)
	// Contents are the content ids of what the file holds, without a hold: for the price of a dry run. It may lag
	// behind what is applied.
	Contents(ctx context.Context) ([]digest.Entry, error)
	// Hold takes the hold (see hold in hold.go) for owner, a job id. Taken again by the same owner it gives the same hold.
	Hold(ctx context.Context, owner string) (Held, error)
}

// Queued is a Replica whose node copies only so much at once.
type Queued interface {
	// Turn returns when the job may copy; one that may already is not kept waiting.
	Turn(ctx context.Context, owner string) error
}

// Applying is a Replica that tells what it has applied as soon as it has.
type Applying interface {
	// AwaitApplied returns when index is applied. An error: the replica does not run, or has begun anew.
	AwaitApplied(ctx context.Context, index uint64) error
}

// Leading is a Replica that may lead its group, and can hand that over.
type Leading interface {
	// StepAside returns when the replica leads no more; an error: nobody has taken over in bounded time.
	StepAside(ctx context.Context) error
}

// Standing is what a replica says of itself.
type Standing struct {
	Server membership.ServerID // under which it is, or would be, in the configuration
	walgap.Target
}

// Progress is how far a running replica has come.
type Progress struct {
	Running bool
	Applied uint64 // index of the last command or configuration that is in its shard, flushed or not
	Member  bool   // it is in the configuration that it knows
	Voter   bool
	Why     string // one line: why it gets no further. Empty: it does
}

// Held is a replica that goes on voting and does nothing else. Its data are static until Install or Release, one of
// which ends the hold. A process that ends without either comes back with the replica running as it was.
type Held interface {
	// Contents are the content ids of the static base; none where it holds nothing or cannot be read. Stored digests
	// may be taken as they are: the proof reads the bytes.
	Contents(ctx context.Context) ([]digest.Entry, error)
	// Open opens the stage file for the manifest, with what an earlier attempt left in it.
	Open(ctx context.Context, b Blueprint) (Build, error)
	// Install switches to what was built, or reports ErrKnowsMore, with the old instance running again. It is not
	// cancelled half-way: the context ends only with the process. It closes the build.
	Install(ctx context.Context, i Installation) error
	// Release ends the hold without an install: the replica is restarted and applies from its log. After Install: nothing.
	Release(ctx context.Context) error
}

// Blueprint says what is to be built.
type Blueprint struct {
	Path     string // of the stage file
	Lineage  string // of the cut
	Manifest []digest.Entry
	State    []byte // of the cut (storage.View.State): the leader's, opaque here
	// InPlace: the leaves of the stage go into the replica's own file, so those that it holds already count. Otherwise
	// the stage becomes a file that stands alone.
	InPlace bool
}

// Installation is what is switched to.
type Installation struct {
	Blueprint
	Build Build
}

// Build is what a job gathers: a Stage and what is proven of it.
type Build interface {
	Gathering
	Proving
}

// Gathering puts leaves into the stage file. Its methods are called by one goroutine at a time.
type Gathering interface {
	// Put verifies a leaf against its entry and keeps it; storage.ErrWrongContent otherwise, and nothing is kept.
	Put(leafBytes []byte, want digest.Entry) error
	// Copy takes leaves from the base. One whose bytes are not what its entry says is skipped: Missing lists it.
	Copy(ctx context.Context, leaves []digest.Entry, progress func(bytes int64)) error
	// Drop forgets leaves, and their digests.
	Drop(leaves ...digest.Leaf) error
	// Commit makes all of it durable. What is gathered whole, and is to stand alone, may take its final form with that: it
	// still counts for nothing before Install.
	Commit() error
}

// Proving tells what the stage, with the base where it is built in place, is worth.
type Proving interface {
	// Staged are the leaves of the manifest that the stage file itself holds, with the content id asked for.
	Staged(ctx context.Context) ([]digest.Entry, error)
	// Prove is the keyed sum over the manifest's leaves as they lie on disk, read after the key was known. progress is told
	// of bytes that were summed, by several goroutines.
	Prove(ctx context.Context, key []byte, progress func(bytes int64)) (digest.ID, error)
	// Damaged are the leaves whose bytes on disk do not have the manifest's content id.
	Damaged(ctx context.Context) ([]digest.Leaf, error)
	// Close gives the file back; what was committed stays. Idempotent.
	Close() error
}
