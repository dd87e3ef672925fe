package resync

import (
	"context"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap"
)

// Led is a group that this node leads. Every method answers ErrNotLeader once it does not.
type Led interface {
	// Standing is cheap: every call of a target begins with it.
	Standing(ctx context.Context, asker membership.ServerID) (LedStanding, error)
	LedLog
	LedCuts
	LedRecord
}

// LedStanding is as whom this node leads.
type LedStanding struct {
	Server   membership.ServerID
	Term     uint64 // in which it leads
	Lineage  string
	Epoch    uint64 // of the assignment
	Applied  uint64 // index of the last command or configuration that is in its shard, flushed or not
	Assigned bool   // the asker's node has a place in the assignment, or the asker is in the configuration
}

// LedLog is the group's log. Lease and End return when the command is applied here.
type LedLog interface {
	// Report is what plan judges by. The asker's own vote does not count in CanCommit. The asker is no source.
	Report(ctx context.Context, asker membership.ServerID) (LedReport, error)
	// Lease takes the log lease id from entry `from` on (0: from its own entry), or renews the lease or the cut's view
	// that has the id. The index is that of the command.
	Lease(ctx context.Context, id string, from uint64, ttl time.Duration) (index uint64, err error)
	// Leased reports whether a lease or a cut's view with that id lives.
	Leased(id string) bool
	// End ends leases and views, by their ids; one that does not live is no error.
	End(ctx context.Context, ids []string) error
}

// LedReport is what a leader says of its replica, and who may give leaves of it.
type LedReport struct {
	walgap.Leader
	Sources []Source
}

// Source is a replica that may give leaves.
type Source struct {
	Server membership.ServerID `json:"server"`
	Zone   string              `json:"zone,omitempty"`
	Leader bool                `json:"leader,omitempty"`
}

// LedCuts makes the states that can be copied.
type LedCuts interface {
	// Cut flushes, fences the group's writes for at most MaxPause, proposes the cut, waits until it is applied, lifts the
	// fence, and has a no-op follow. ErrAborted: the pause was over before; CutMade says how long it was, and a cut of
	// that id may still commit.
	Cut(ctx context.Context, ask CutAsk) (CutMade, error)
	// PinRecord flushes, pins a view of the snapshot record in memory for owner, a job, has Raft shown it (as HoldRecord
	// does), and stops this node's trimming of the group, until Unpin, the ttl, or the end of the leadership. Nothing
	// goes into the log. ErrBusy: a record is held for another job.
	PinRecord(ctx context.Context, owner string, ttl time.Duration) (CutMade, error)
	// Unpin ends a PinRecord.
	Unpin(id string)
	// View is the pinned view of a cut or record; storage.ErrNotPinned when there is none and will be none.
	View(ctx context.Context, id string) (LedView, error)
}

// CutAsk is a cut to be made. The target names it, so that it can end what it never heard the end of.
type CutAsk struct {
	ID       string        `json:"id"`
	MaxPause time.Duration `json:"max_pause"`
	TTL      time.Duration `json:"ttl"`
	// Lease: the entry of the cut also takes, or renews, the log lease of that id, from itself on. Empty: it does not.
	Lease string `json:"lease,omitempty"`
}

// CutMade names a state.
type CutMade struct {
	ID       string
	Position storage.Position
	Fenced   time.Duration // how long writes waited
}

// LedView is the leader's view at a cut. *storage.View is one.
type LedView interface {
	Index() storage.Position
	Root(ctx context.Context) (digest.ID, []digest.Entry, error)
	State() ([]byte, error)
	Prove(ctx context.Context, key []byte) (digest.ID, error)
	Close() error
}

// LedRecord is what the leader does for the replica that was installed.
type LedRecord interface {
	// Proven is told of each equal proof, before the target installs: so that the replica may be given a vote. Without a
	// quorum (a copy of the record) it must not wait for the log. It may be told twice.
	Proven(ctx context.Context, p Proof) error
	// Witness is told that the copy of a cut is about to be proven, while all replicas still have it pinned: those but
	// the target may tell their roots, so that the group shows what is equal. It does not wait.
	Witness(cutID string, target membership.ServerID)
	// HoldRecord makes the snapshot record that Raft is shown the cut's own, from the cut's state. ErrBusy: another job
	// of this group has that.
	HoldRecord(ctx context.Context, owner string, state []byte) (release func(), err error)
}

// Proof is an equal proof.
type Proof struct {
	Job      string
	Target   membership.ServerID
	Lineage  string
	Position storage.Position // of the cut
	Root     digest.ID
	Sum      digest.ID // keyed, over the bytes on disk
}
