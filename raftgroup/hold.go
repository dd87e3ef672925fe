package raftgroup

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

var (
	// ErrHeld: another owner holds the replica or the record. Wait for its end.
	ErrHeld = errors.New("replica is held for another job")
	// ErrHoldEnded: the hold was released, or its install is done. Take a new one.
	ErrHoldEnded = errors.New("hold has ended")
	// ErrKnowsMore: the replica's log may hold acked entries that the cut does not.
	// Nothing was changed, the hold has ended and the old instance runs again: go
	// back to plan, and take a later cut.
	ErrKnowsMore = errors.New("replica knows more than the cut")
)

// Hold is a replica that waits for an install. See Group.TakeHold.
type Hold struct{}

// Installation is a proven copy that is to replace a replica's shard.
type Installation struct {
	// Lineage is that of the cut.
	Lineage string
	// State is what View.State gave at the cut, Cut what it says.
	State []byte
	Cut   storage.Durable
	// Stage holds leaves at StageFile of StagingDir. Install closes it.
	Stage Stage
	// InPlace: the stage holds the leaves that differ, which are put into the
	// shard's own file; else the stage becomes the shard's file.
	InPlace  bool
	Manifest []digest.Entry
}

// Stage is a *storage.Stage.
type Stage interface {
	Seal(identity storage.Identity, state []byte, manifest []digest.Entry) error
	Close() error
}

// StageFile is the name of the staged shard in StagingDir.
const StageFile = "shard.db"

// StagingDir is where a resync of this group keeps what it has fetched. The
// directory need not exist.
func (g *Group) StagingDir() string {
	return filepath.Join(filepath.Dir(g.host.shardPath(g.id)), "staging")
}

// TakeHold makes the replica wait for an install: everything that is applied is
// flushed, and from then on the shard does not change. A replica that runs goes
// on voting and takes entries into its log; it serves nothing, drops no log,
// takes no snapshot, is no source, and leads only to hand over. One that does
// not run stays closed while it is held. ErrHeld while another owner holds it;
// the same owner gets its hold back.
func (g *Group) TakeHold(ctx context.Context, owner string) (*Hold, error) {
	return nil, errors.New("not yet")
}

// View is the static base, nil where nothing here can be read. It belongs to
// the hold: do not close it, and do not use it once Install or Release is called.
func (h *Hold) View() *storage.View { return nil }

// Install replaces the shard and starts the replica at the cut; then the hold
// has ended. After any error but ErrKnowsMore and those of a disk the hold
// stands, and Install may be called again.
func (h *Hold) Install(ctx context.Context, i Installation) error { return errors.New("not yet") }

// Release ends the hold without an install: the replica starts again and
// applies from its log. After an end it does nothing.
func (h *Hold) Release(ctx context.Context) error { return errors.New("not yet") }
