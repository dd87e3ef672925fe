package syncing

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/leafstream"
	"github.com/flotilla-db/flotilla/rpc/raftmux"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// Config is what this package knows of its node. All of it is needed, but for Hooks.
type Config struct {
	Self      membership.NodeID
	Zone      string
	ClusterID func() string
	DataDir   string
	GroupDir  func(group uint32) string
	Window    func() time.Duration
	Settings  func() config.Sync    // in force
	Room      func() (int64, error) // bytes that a copy may write before the disk's reserve is touched

	Groups func() []*raftgroup.Group                    // this node's replicas; none before it is a member
	Group  func(group uint32) (*raftgroup.Group, error) // one of them
	Known  func() []uint32                              // the groups of which the data directory holds anything
	// Stored is what the file of a group says that does not run here; false: there is none.
	Stored func(group uint32) (raftgroup.Report, bool, error)
	// Look has the leader of a group look now at what it is to bring about, if this node is that.
	Look      func(group uint32)
	Directory Directory
	Streams   Streams
	Up        func(membership.NodeID) bool // whether a node answers
	// Errand has a short piece of work done that nobody waits for; false: there is no room for it.
	Errand   func(func(context.Context)) bool
	Rows     func() *gateway.Jobs // what jobs are shown in
	Proofs   Proofs
	Governor Governor
	Turns    storage.Turns // of work on whole shards
	Hooks    resync.Hooks
	Logger   *slog.Logger
}

// Proofs are what a copy, or what was found to need none, has to do with checks.
type Proofs interface {
	// NoteProof is told that a copy of a group that is led here was proven.
	NoteProof(group uint32)
	// Witness has all replicas of a group that is led here, but that on one node, tell their roots at a cut. It does not wait.
	Witness(group uint32, cut, except string)
	// Compare has the group checked, and waits for the end of that, or of ctx.
	Compare(ctx context.Context, group uint32)
}

// Directory is the table of the cluster, as directory.Directory says.
type Directory interface {
	Table() *directory.Table
	Confirm(ctx context.Context) (*directory.Table, error)
	Replace(ctx context.Context, group uint32, epoch uint64, from, to string) (membership.Assignment, error)
}

// Governor lets clients go before copies, as governor.Governor says. Share is of a core, 1 when nothing is held back; Why is
// "" then.
type Governor interface {
	Charge(cost time.Duration)
	Share() float64
	Why() string
}

// Streams reach other nodes, as raftmux.Mux says.
type Streams interface {
	Call(ctx context.Context, to membership.NodeID, method raftmux.Method, payload []byte, options ...raftmux.CallOption) ([]byte, error)
	leafstream.Dialer
}

// stagingDir is where the job of a group keeps what it has fetched.
func (c *Config) stagingDir(group uint32) string {
	return filepath.Join(c.GroupDir(group), "staging")
}
