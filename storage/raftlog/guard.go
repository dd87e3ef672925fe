package raftlog

import (
	"fmt"
	"runtime/debug"
)

// guard runs a bbolt transaction. bbolt panics, or faults in its memory map, on pages that are damaged; with
// this the caller gets ErrDamaged instead of a dead process, closes the file and never writes it again.
// (Package storage has the same guard for shards; there is no other recover.)
func guard(object string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: %w: %v", object, ErrDamaged, p)
		}
	}()
	return f()
}
