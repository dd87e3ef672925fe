package clustertest

import (
	"os"
	"testing"
)

// roomForData is what a cluster's logs and shards need at most, in bytes: two
// segments of 64 MiB a node, and the shards.
const roomForData = 4 << 30

// dataDir is where the nodes keep their files: real ones, but in memory where
// there is room, since a crash of a process keeps the page cache anyway, and
// the waits for a disk are real time in which virtual time stands still.
func dataDir(t testing.TB) string {
	const memory = "/dev/shm"
	if freeBytes(memory) < roomForData {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(memory, "flotilla-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
