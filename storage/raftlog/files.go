package raftlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Files is the directory that the shared engine writes in. Tests put faults and power cuts behind it.
// Open, Rename and Remove are durable in the directory when they return. Open creates a file that is
// absent, with size bytes allocated to it, if size > 0.
type Files interface {
	Names() ([]string, error)
	Open(name string, size int64) (f File, have int64, err error)
	Rename(from, to string) error
	Remove(name string) error
}

// File is one file of it. Sync makes what was written durable; it need not sync times and sizes.
type File interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
	Close() error
}

// dirFiles is Files in a real directory.
type dirFiles struct{ dir string }

func openDir(dir string) (dirFiles, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return dirFiles{}, fmt.Errorf("create log directory: %w", err)
	}
	return dirFiles{dir}, syncDir(filepath.Dir(dir))
}

func (d dirFiles) Names() ([]string, error) {
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, fmt.Errorf("list log directory: %w", err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

func (d dirFiles) Open(name string, size int64) (File, int64, error) {
	path := filepath.Join(d.dir, name)
	f, err := os.OpenFile(path, os.O_RDWR, 0o644)
	created := false
	if errors.Is(err, fs.ErrNotExist) && size > 0 {
		created = true
		f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	}
	if err != nil {
		return nil, 0, err
	}
	have, err := prepareFile(f, size, created)
	if err == nil && created {
		err = syncDir(d.dir)
	}
	if err != nil {
		f.Close()
		if created {
			os.Remove(path) // half made, as on a full disk
		}
		return nil, 0, err
	}
	return osFile{f}, have, nil
}

// prepareFile allocates a new file and returns the size.
func prepareFile(f *os.File, size int64, created bool) (int64, error) {
	if created {
		if err := preallocate(f, size); err != nil {
			return 0, fmt.Errorf("allocate %s: %w", f.Name(), err)
		}
		return size, f.Sync()
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (d dirFiles) Rename(from, to string) error {
	if err := os.Rename(filepath.Join(d.dir, from), filepath.Join(d.dir, to)); err != nil {
		return err
	}
	return syncDir(d.dir)
}

func (d dirFiles) Remove(name string) error {
	if err := os.Remove(filepath.Join(d.dir, name)); err != nil {
		return err
	}
	return syncDir(d.dir)
}

type osFile struct{ *os.File }

func (f osFile) Sync() error {
	if withoutSync {
		return nil
	}
	return syncData(f.File)
}
