package raftlog

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
)

var errPower = errors.New("power is off")

const sectorBytes = 512

// memFiles is a directory that loses power as disks do: of what was written since the last sync of a file,
// any set of sectors may be there. Names are durable at once, as Files promises.
type memFiles struct {
	mu    sync.Mutex
	files map[string]*memFile
	off   bool
	// budget is how many writes and syncs still work before the power goes; negative: no end.
	budget int
	syncs  int
	// faults, under mu; each is asked at its operation
	onSync  func() error
	onWrite func(b []byte) (int, error)
	onOpen  func(name string, size int64) error
}

type memFile struct {
	d       *memFiles
	durable []byte // what a crash cannot take
	now     []byte // what reads see
	dirty   map[int]bool
}

func newMemFiles() *memFiles { return &memFiles{files: make(map[string]*memFile), budget: -1} }

func (d *memFiles) syncCount() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

func (d *memFiles) spend() error {
	if d.off {
		return errPower
	}
	if d.budget == 0 {
		d.off = true
		return errPower
	}
	d.budget--
	return nil
}

// crash turns the power off and on: unsynced sectors are kept or lost by chance.
func (d *memFiles) crash(r *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.files {
		keep := r.IntN(4) // 0: none, 1: all, else by chance
		for _, s := range slices.Sorted(mapKeys(f.dirty)) {
			if keep == 1 || keep > 1 && r.IntN(2) == 0 {
				from, to := s*sectorBytes, min((s+1)*sectorBytes, len(f.now))
				copy(f.durable[from:to], f.now[from:to])
			}
		}
		f.now = slices.Clone(f.durable)
		f.dirty = make(map[int]bool)
	}
	d.off, d.budget = false, -1
}

func mapKeys(m map[int]bool) func(func(int) bool) {
	return func(yield func(int) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (d *memFiles) clone() *memFiles {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := newMemFiles()
	for name, f := range d.files {
		c.files[name] = &memFile{d: c, durable: slices.Clone(f.now), now: slices.Clone(f.now), dirty: make(map[int]bool)}
	}
	return c
}

func (d *memFiles) Names() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name := range d.files {
		names = append(names, name)
	}
	return names, nil
}

func (d *memFiles) Open(name string, size int64) (File, int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.onOpen != nil {
		if err := d.onOpen(name, size); err != nil {
			return nil, 0, err
		}
	}
	f := d.files[name]
	if f == nil && size <= 0 {
		return nil, 0, fs.ErrNotExist
	}
	if f == nil {
		if err := d.spend(); err != nil {
			return nil, 0, err
		}
		f = &memFile{d: d, durable: make([]byte, size), now: make([]byte, size), dirty: make(map[int]bool)}
		d.files[name] = f
	}
	return &memHandle{f: f}, int64(len(f.now)), nil
}

func (d *memFiles) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.spend(); err != nil {
		return err
	}
	f := d.files[from]
	if f == nil {
		return fs.ErrNotExist
	}
	delete(d.files, from)
	d.files[to] = f
	return nil
}

func (d *memFiles) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.spend(); err != nil {
		return err
	}
	delete(d.files, name)
	return nil
}

type memHandle struct {
	f      *memFile
	closed bool
}

func (h *memHandle) ReadAt(b []byte, off int64) (int, error) {
	h.f.d.mu.Lock()
	defer h.f.d.mu.Unlock()
	if h.closed {
		return 0, fs.ErrClosed
	}
	if off >= int64(len(h.f.now)) {
		return 0, io.EOF
	}
	n := copy(b, h.f.now[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (h *memHandle) WriteAt(b []byte, off int64) (int, error) {
	d := h.f.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.closed {
		return 0, fs.ErrClosed
	}
	n := len(b)
	var err error
	if d.onWrite != nil {
		n, err = d.onWrite(b)
	}
	// A write during which the power goes may still have reached the disk.
	if spent := d.spend(); spent != nil {
		err = spent
	}
	copy(h.f.now[off:], b[:n])
	for s := int(off) / sectorBytes; n > 0 && s <= (int(off)+n-1)/sectorBytes; s++ {
		h.f.dirty[s] = true
	}
	return n, err
}

func (h *memHandle) Sync() error {
	d := h.f.d
	d.mu.Lock()
	onSync := d.onSync
	d.mu.Unlock()
	if onSync != nil {
		if err := onSync(); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.closed {
		return fs.ErrClosed
	}
	if err := d.spend(); err != nil {
		return err
	}
	d.syncs++
	for s := range h.f.dirty {
		from, to := s*sectorBytes, min((s+1)*sectorBytes, len(h.f.now))
		copy(h.f.durable[from:to], h.f.now[from:to])
	}
	clear(h.f.dirty)
	return nil
}

func (h *memHandle) Close() error {
	h.f.d.mu.Lock()
	defer h.f.d.mu.Unlock()
	if h.closed {
		return fs.ErrClosed
	}
	h.closed = true
	return nil
}
