package clustertest

import "syscall"

// freeBytes is the room on the file system of a directory, 0 if there is none.
func freeBytes(dir string) int64 {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return 0
	}
	return int64(s.Bavail) * s.Bsize
}
