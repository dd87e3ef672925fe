package node

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
)

// ErrFixed is wrapped when a setting that is fixed in a data directory is asked
// to be another. Nothing was changed: start with the value that the error names.
var ErrFixed = errors.New("setting is fixed")

// checkFixed refuses what cannot be changed once a directory holds data: another
// log engine would find no log and give every replica up; groups and windows are
// what devices and times are mapped to.
func checkFixed(id Identity, dir string, want asked) error {
	if want.engine != "" && id.LogEngine != "" && want.engine != id.LogEngine {
		return fmt.Errorf("%w: the logs in %s are of --log-engine %s, not %s (hint: leave --log-engine out, or give an empty --data-dir)",
			ErrFixed, dir, id.LogEngine, want.engine)
	}
	if want.totalGroups != 0 && id.TotalGroups != 0 && want.totalGroups != id.TotalGroups {
		return fmt.Errorf("%w: the cluster of %s was made with coordinator.total_groups %d, not %d (hint: leave it out, or give an empty --data-dir for another cluster)",
			ErrFixed, dir, id.TotalGroups, want.totalGroups)
	}
	if window, err := config.ParseDuration(id.Window); err == nil && want.window != 0 && window != want.window {
		return fmt.Errorf("%w: the cluster of %s was made with storage.window %s, not %s (hint: leave it out, or give an empty --data-dir for another cluster)",
			ErrFixed, dir, id.Window, config.FormatDuration(want.window))
	}
	return nil
}

// inferEngine finds the log engine of a directory that does not say it, by what
// lies there. A directory without logs takes what was asked for, or else the
// fallback. One with logs of both engines has been started with the wrong one:
// only the operator knows which it was.
func inferEngine(dir, want, fallback string) (string, error) {
	shared, err := filepath.Glob(filepath.Join(dir, logDir, "*.wal"))
	if err != nil {
		return "", fmt.Errorf("look for logs: %w", err)
	}
	bolt, err := filepath.Glob(filepath.Join(dir, groupsDir, "*", "raft.db"))
	if err != nil {
		return "", fmt.Errorf("look for logs: %w", err)
	}
	found := ""
	switch {
	case len(shared) > 0 && len(bolt) > 0:
		if want != "" {
			return want, nil
		}
		return "", fmt.Errorf("%w: %s holds logs of both engines (hint: name with --log-engine the one that it was made with)", ErrFixed, dir)
	case len(shared) > 0:
		found = config.LogEngineShared
	case len(bolt) > 0:
		found = config.LogEngineBoltDB
	case want != "":
		return want, nil
	default:
		return fallback, nil
	}
	return found, checkFixed(Identity{LogEngine: found}, dir, asked{engine: want})
}
