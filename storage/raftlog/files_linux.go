package raftlog

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// dropCached makes the system forget a stretch of a file that is in its memory and written out, so that the next
// read comes from disk.
func dropCached(f File, off, n int64) {
	if f, ok := f.(osFile); ok {
		_ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_DONTNEED)
	}
}

// syncData is fdatasync: segments are allocated ahead, so their size does not change with a write.
func syncData(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// preallocate gives the file its blocks, where the file system can.
func preallocate(f *os.File, size int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return f.Truncate(size)
		default:
			return os.NewSyscallError("fallocate", err)
		}
	}
}
