//go:build !windows

package resync

import (
	"errors"
	"syscall"
)

// diskFull reports whether the system refused a write for lack of room.
func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
