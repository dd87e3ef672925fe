package directory

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

const (
	// appendDeadline ends the process when the disk hangs: a leader whose
	// disk hangs would go on leading (FACTS of raft: heartbeats go on).
	appendDeadline = 10 * time.Second
	// lockTimeout bounds the wait for another process that has raft.db open.
	lockTimeout = 2 * time.Second
	// snapshotEvery commands a snapshot is taken; as many entries are kept
	// behind it for followers that lag.
	snapshotEvery    = 2048
	trailingLogs     = 2048
	retainedSnapshot = 2
)

// store is what the meta group has on disk: raft-boltdb for log and votes,
// and raft's own file snapshots.
type store struct {
	bolt      *raftboltdb.BoltStore
	logs      *guardedLogs
	votes     *votes
	snapshots raft.SnapshotStore
}

func openStore(dir string, logger *slog.Logger, fatal func(error)) (*store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make directory of the meta group: %w", err)
	}
	path := filepath.Join(dir, "raft.db")
	bolt, err := raftboltdb.New(raftboltdb.Options{
		Path:        path,
		BoltOptions: &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType},
	})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, retainedSnapshot, newRaftLogger(logger))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open snapshots in %s: %w", dir, err), bolt.Close())
	}
	return &store{
		bolt:      bolt,
		logs:      &guardedLogs{LogStore: bolt, fatal: fatal},
		votes:     &votes{inner: bolt, fatal: fatal},
		snapshots: snapshots,
	}, nil
}

// used reports whether this replica has been part of a cluster.
func (s *store) used() (bool, error) {
	used, err := raft.HasExistingState(s.logs, s.votes, s.snapshots)
	if err != nil {
		return false, fmt.Errorf("read state of the meta group: %w", err)
	}
	return used, nil
}

func (s *store) Close() error {
	if err := s.bolt.Close(); err != nil {
		return fmt.Errorf("close log of the meta group: %w", err)
	}
	return nil
}

// guardedLogs ends the process when a write fails or hangs: what is on disk
// is unknown then, and raft would go on.
type guardedLogs struct {
	raft.LogStore
	fatal func(error)
}

// StoreLog implements raft.LogStore.
func (g *guardedLogs) StoreLog(l *raft.Log) error { return g.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore.
func (g *guardedLogs) StoreLogs(logs []*raft.Log) error {
	return guard(g.fatal, "append to the log of the meta group", func() error { return g.LogStore.StoreLogs(logs) })
}

// DeleteRange implements raft.LogStore.
func (g *guardedLogs) DeleteRange(first, last uint64) error {
	return guard(g.fatal, "truncate the log of the meta group", func() error { return g.LogStore.DeleteRange(first, last) })
}

func guard(fatal func(error), what string, write func() error) error {
	late := time.AfterFunc(appendDeadline, func() {
		fatal(fmt.Errorf("%s: the disk has not answered for %v", what, appendDeadline))
	})
	defer late.Stop()
	if err := write(); err != nil {
		err = fmt.Errorf("%s: %w", what, err)
		fatal(err)
		return err
	}
	return nil
}
