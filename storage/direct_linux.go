package storage

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openDirect opens a file once more, for reads that come from the disk and leave the system's memory as it is (O_DIRECT,
// open(2)). nil where the file system has none.
func openDirect(f *os.File) *os.File {
	direct, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return nil
	}
	return direct
}

// dropRange forgets what the system has of a range in memory, but for what is mapped.
func dropRange(f *os.File, at, bytes int64) {
	_ = unix.Fadvise(int(f.Fd()), at, bytes, unix.FADV_DONTNEED)
}
