package syncing

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/cmd/internal/node/governor"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var self = membership.NodeID{Name: "n1", Incarnation: "00000001"}

// syncsOf is what runs the resyncs of a node that is assigned group 1, has no
// replica yet and reaches nobody, and what shows their rows. Nothing runs.
func syncsOf(t *testing.T, dir string, settings func() config.Sync) (*Syncs, *gateway.Gateway) {
	t.Helper()
	if settings == nil {
		settings = func() config.Sync {
			return config.Sync{MaxConcurrent: 4, MaxAttempts: 3, Enabled: true, StartupSync: true}
		}
	}
	rows := gatewayOf(t, dir)
	s := New(Config{
		Self: self, ClusterID: func() string { return "c" }, DataDir: dir, GroupDir: func(uint32) string { return filepath.Join(dir, "group") },
		Settings: settings, Groups: func() []*raftgroup.Group { return nil },
		Group:     func(uint32) (*raftgroup.Group, error) { return nil, raftgroup.ErrUnknownGroup },
		Known:     func() []uint32 { return nil },
		Directory: tableOf{&directory.Table{Assignments: map[uint32]membership.Assignment{1: {Group: 1, Primary: "n1"}}}},
		Proofs:    noProofs{},
		Governor:  governor.New(func() bool { return false }),
		Rows:      rows.Jobs, Logger: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, rows
}

// noProofs has nothing compared.
type noProofs struct{ Proofs }

func (noProofs) Compare(context.Context, uint32) {}

// gatewayOf is one that keeps rows, and does nothing else.
func gatewayOf(t *testing.T, dir string) *gateway.Gateway {
	t.Helper()
	g, err := gateway.New(gateway.Config{
		Self: self, Directory: struct{ gateway.Directory }{}, Databases: struct{ gateway.Databases }{}, Collections: struct{ gateway.Collections }{},
		Host: struct{ gateway.Host }{}, Peers: struct{ gateway.Peers }{}, Liveness: struct{ gateway.Liveness }{}, JobsPath: filepath.Join(dir, "jobs.json"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// tableOf is a directory that does not change.
type tableOf struct{ table *directory.Table }

func (d tableOf) Table() *directory.Table { return d.table }

func (d tableOf) Confirm(context.Context) (*directory.Table, error) { return d.table, nil }

func (tableOf) Replace(context.Context, uint32, uint64, string, string) (membership.Assignment, error) {
	return membership.Assignment{}, directory.ErrInvalid
}

// engineOf is a procedure.
type engineOf func(context.Context, resync.Request) resync.Result

func (e engineOf) Run(ctx context.Context, r resync.Request) resync.Result { return e(ctx, r) }
func (engineOf) Cancel(string) bool                                        { return true }
func (engineOf) Resume(uint32) (resync.Request, bool, error)               { return resync.Request{}, false, nil }
