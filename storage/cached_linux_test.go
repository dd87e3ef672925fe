package storage

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// residentBytes is how much of a file lies in memory (mincore(2)).
func residentBytes(t *testing.T, path string) (resident, size int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(m) }()
	page := int64(os.Getpagesize())
	pages := make([]byte, (info.Size()+page-1)/page)
	_, _, errno := syscall.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&pages[0])))
	if errno != 0 {
		t.Fatal(errno)
	}
	for _, p := range pages {
		resident += int64(p&1) * page
	}
	return resident, info.Size()
}

// TestProofReadsTheDisk: what a proof is about to read lies in memory no more, mapped by an open shard or not.
func TestProofReadsTheDisk(t *testing.T) {
	dir := t.TempDir()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil || fs.Type == unix.TMPFS_MAGIC {
		t.Skip("a file system in memory has nothing to forget", err)
	}
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dropCached(path); err != nil {
		t.Fatal(err)
	}
	if resident, size := residentBytes(t, path); resident > size/10 {
		t.Fatalf("%d of %d bytes are still there", resident, size)
	}
	if err := dropCached(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}

	s := target(t)
	v := look(t, s)
	if _, _, err := v.ReadRoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.dropCached()
	if resident, size := residentBytes(t, s.o.Path); resident > size/4 { // readers of other tests' helpers may touch a page
		t.Fatalf("%d of %d bytes of an open shard are still there", resident, size)
	}
	if _, _, err := v.ReadRoot(t.Context()); err != nil {
		t.Fatalf("the map is gone: %v", err)
	}
}
