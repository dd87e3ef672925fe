package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// Examine reads all that the meta group has on disk, and changes nothing but
// the seal of a snapshot that has none. ErrStateLost: it is damaged, or missing
// where used says that it was there, so this node has forgotten what it
// promised, and must not answer under its id again.
func Examine(dir string, used bool) error {
	h, err := readLogFile(filepath.Join(dir, logName))
	if errors.Is(err, fs.ErrNotExist) && used {
		return fmt.Errorf("%w: %w", ErrStateLost, err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, snapshotsDir)); errors.Is(err, fs.ErrNotExist) && h.first <= 1 {
		return nil
	}
	snapshots, err := openSnapshots(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	_, err = reaches(h, snapshots)
	return err
}

// reaches makes sure that log and snapshots together reach from the beginning
// to what this replica had last, and names the snapshots that are bad but not
// needed.
func reaches(h *held, snapshots *sealedSnapshots) (bad map[string]error, err error) {
	whole, newest, bad, err := snapshots.look()
	if err != nil {
		return nil, err
	}
	end := whole
	switch {
	case h.last <= whole:
	case h.first > whole+1:
		err = fmt.Errorf("the log begins with entry %d, the newest snapshot that is whole ends with %d: %w", h.first, whole, ErrStateLost)
	default:
		end = h.last
	}
	if err == nil && end < newest {
		err = fmt.Errorf("log and snapshots reach to entry %d, there was a snapshot of %d: %w", end, newest, ErrStateLost)
	}
	for id, why := range bad {
		if err != nil {
			err = fmt.Errorf("%w: snapshot %s: %w", err, id, why)
		}
	}
	return bad, err
}
