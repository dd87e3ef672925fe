//go:build !linux

package storage

import (
	"fmt"
	"os"
)

// dropCached writes a file out. What the system keeps of it in memory stays: a proof here reads what was written, not
// always what the disk gives back.
func dropCached(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // windows syncs only what may be written
	if err != nil {
		return fmt.Errorf("drop cached pages: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("drop cached pages of %s: %w", path, err)
	}
	return nil
}

func unmapPages(uintptr, int64) {}

func readAhead(string) {}
