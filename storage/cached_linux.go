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
	// What was committed is clean, and only dirty pages stay: a sync would wait for a commit of the file system's journal,
	// which is none of ours.
	const out = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	if unix.SyncFileRange(int(f.Fd()), 0, 0, out) != nil {
		if err := f.Sync(); err != nil {
			return fmt.Errorf("drop cached pages of %s: %w", path, err)
		}
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

const (
	maxReadAhead  = 2 << 30   // what readAhead asks for: beyond it, pages would push each other out before they are used
	readAheadStep = 256 << 10 // Linux takes no more of one request than the device's largest (force_page_cache_ra)
)

// readAhead has the system read a file, in large pieces and beside us: bbolt maps files for random access, and each fault
// then brings one page. Tried: a cold stage of 64 MB is proven five times as fast.
func readAhead(path string) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return
	}
	for at := int64(0); at < min(info.Size(), maxReadAhead); at += readAheadStep {
		if unix.Fadvise(int(f.Fd()), at, readAheadStep, unix.FADV_WILLNEED) != nil {
			return
		}
	}
}
