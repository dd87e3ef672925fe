package resync

import (
	"errors"
	"syscall"
)

// diskFull reports whether the system refused a write for lack of room: ERROR_HANDLE_DISK_FULL, ERROR_DISK_FULL.
func diskFull(err error) bool {
	return errors.Is(err, syscall.Errno(39)) || errors.Is(err, syscall.Errno(112)) || errors.Is(err, syscall.ENOSPC)
}
