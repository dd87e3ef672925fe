package crashtest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// mount mounts something until the test ends, or skips the test and says why.
func mount(t *testing.T, at string, args ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	must(t, os.MkdirAll(at, 0o750))
	if out, err := exec.Command("mount", append(args, at)...).CombinedOutput(); err != nil {
		t.Skipf("mount %v does not work here: %v: %s", args, err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: not mounted
			t.Errorf("unmount %s: %v", at, err)
		}
	})
}

// loopDisk is an ext4 file system in a file, behind a loop device, whose power can be cut.
type loopDisk struct{ image, at string }

// loopDiskBytes is the size of the image, which is sparse.
const loopDiskBytes = 1 << 30

func newLoopDisk(t *testing.T) *loopDisk {
	t.Helper()
	dir := t.TempDir()
	d := &loopDisk{image: filepath.Join(dir, "disk"), at: filepath.Join(dir, "mnt")}
	f, err := os.Create(d.image)
	must(t, err)
	must(t, errors.Join(f.Truncate(loopDiskBytes), f.Close()))
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", d.image).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4 does not work here: %v: %s", err, out)
	}
	mount(t, d.at, "-o", "loop", d.image)
	return d
}

// The ioctl of ext4, XFS and others that shuts a file system down, and its flag for doing so without writing the
// journal out: from now on nothing reaches the disk, and what did not before is lost.
const (
	fsIocShutdown         = 0x8004587d
	shutdownWithoutAFlush = 2
)

// cut cuts the power.
func (d *loopDisk) cut(t *testing.T) {
	t.Helper()
	f, err := os.Open(d.at)
	must(t, err)
	defer f.Close()
	must(t, unix.IoctlSetPointerInt(int(f.Fd()), fsIocShutdown, shutdownWithoutAFlush))
}

// plug puts the disk back in: what is in memory is dropped, the journal is replayed. Nothing may hold a file open.
func (d *loopDisk) plug(t *testing.T) {
	t.Helper()
	must(t, unix.Unmount(d.at, 0))
	if out, err := exec.Command("mount", "-o", "loop", d.image, d.at).CombinedOutput(); err != nil {
		t.Fatalf("mount the disk again: %v: %s", err, out)
	}
}

func TestReadOnlyDirectoryIsRefused(t *testing.T) {
	binary(t, "")
	at := filepath.Join(t.TempDir(), "readonly")
	mount(t, at, "-t", "tmpfs", "-o", "ro", "tmpfs")
	refused(t, at, 1, `read-only file system`)
}
