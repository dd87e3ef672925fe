package storage

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// dropCached writes a file out and forgets the pages of it that are in memory, so that the next read comes from disk.
// Pages that some process has mapped stay (POSIX_FADV_DONTNEED, posix_fadvise(2)).
func dropCached(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("drop cached pages: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("drop cached pages of %s: %w", path, err)
	}
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	return nil
}

// unmapPages takes the pages of a file's shared, read-only map out of this process, so that dropCached reaches them: the
// next touch brings them back. The range must lie within the map.
func unmapPages(data uintptr, bytes int64) {
	if data != 0 && bytes > 0 {
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, data, uintptr(bytes), unix.MADV_DONTNEED)
	}
}

// maxReadAhead bounds what readAhead asks for: beyond it, pages would push each other out before they are used.
const maxReadAhead = 2 << 30

// readAhead has the system read a file, in large pieces and beside us.
func readAhead(path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	_ = unix.Fadvise(int(f.Fd()), 0, maxReadAhead, unix.FADV_WILLNEED)
}
