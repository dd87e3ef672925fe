//go:build !linux

package raftlog

import "os"

// syncData syncs everything: on darwin Go's Sync is F_FULLFSYNC, which reaches the platter.
func syncData(f *os.File) error { return f.Sync() }

// dropCached does nothing here: what is in the system's memory is read from there.
func dropCached(File, int64, int64) {}

// preallocate makes the file as long as it will be; blocks come with the writes.
func preallocate(f *os.File, size int64) error { return f.Truncate(size) }
