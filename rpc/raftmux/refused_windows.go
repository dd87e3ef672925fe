package raftmux

import (
	"errors"
	"syscall"
)

// wsaConnRefused is Windows' own number for it; syscall.ECONNREFUSED is not.
const wsaConnRefused = syscall.Errno(10061)

// isRefused reports whether a dial failed because nothing listens there.
func isRefused(err error) bool {
	return errors.Is(err, ErrRefused) || errors.Is(err, wsaConnRefused)
}
