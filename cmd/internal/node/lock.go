package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// lockFile is held for as long as a process uses the data directory.
const lockFile = "LOCK"

// ErrLocked is wrapped when another process uses the data directory.
var ErrLocked = errors.New("data directory is in use")

// dirLock is the lock on a data directory.
type dirLock struct{ file *os.File }

// lockDir creates dir where it is absent, checks that it can be written, and
// locks it. The lock ends with the process, whatever ends that.
func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	path := filepath.Join(dir, lockFile)
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
		if err != nil {
			return nil, fmt.Errorf("open data directory for writing: %w", err)
		}
		if err := tryLock(f); err != nil {
			return nil, errors.Join(fmt.Errorf("%w: %s (hint: another flotilla runs on it; give each node a --data-dir of its own)", ErrLocked, dir), f.Close())
		}
		if isStill(f, path) {
			return &dirLock{file: f}, nil
		}
		// A start that was taken back has removed the file between our two steps:
		// whoever holds that one holds nothing.
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("lock data directory: %w", err)
		}
	}
}

// isStill reports whether an open file is the one that the path names.
func isStill(f *os.File, path string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(path)
	return err == nil && os.SameFile(open, named)
}

func (l *dirLock) Close() error { return l.file.Close() }
