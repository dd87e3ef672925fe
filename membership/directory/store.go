package directory

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/raft"
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

// logName is the file of log and votes.
const logName = "raft.db"

// store is what the meta group has on disk: raft.db for log and votes, and
// raft's own file snapshots.
type store struct {
	bolt      *logFile
	logs      *guardedLogs
	votes     *votes
	snapshots *sealedSnapshots
}

func openStore(dir string, logger *slog.Logger, fatal func(error)) (*store, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make directory of the meta group: %w", err)
	}
	path := filepath.Join(dir, logName)
	bolt, err := openLogFile(path, logger)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	snapshots, err := openSnapshots(dir, logger)
	if err == nil {
		var bad map[string]error
		if bad, err = reaches(bolt.held, snapshots); err == nil {
			err = snapshots.setAside(bad)
		}
	}
	if err != nil {
		return nil, errors.Join(err, bolt.Close())
	}
	return &store{
		bolt:      bolt,
		logs:      &guardedLogs{LogStore: bolt, fatal: fatal},
		votes:     &votes{file: bolt, fatal: fatal},
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
