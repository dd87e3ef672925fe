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
	// disk hangs would go on leading (raft sends heartbeats beside its log).
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
