package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Options of bbolt.
const (
	mapBytesLarge = 8 << 30 // a long read transaction blocks a write that must remap a larger file: never remap
	mapBytesSmall = 1 << 20 // where address space is short, or a map makes the file as long (windows): remap, and wait
	allocBytes    = 1 << 20
	lockTimeout   = 2 * time.Second
	leafFill      = 0.9 // keys are written in ascending order: leave little room in a page
	mapReserve    = 1 << 20
	smallestSize  = 4 * 4096 // a bbolt file has four pages at least
)

// file is the bbolt file of a shard. Every transaction goes through guard: a damaged page makes bbolt panic or touch
// memory that is not there, and the process must outlive that.
type file struct {
	path      string
	mapBytes  int
	onDamaged func(error)
	onBadLeaf func(digest.Leaf, error) // a record that fails its checksum; nil: nobody wants to know
	failed    error                    // what an error of a write is: ErrStorage, or ErrStaging

	// mu is held shared by every read transaction, from begin to rollback, and exclusively to close or swap db. The
	// one write transaction belongs to the flusher, who also swaps: it needs no lock.
	mu     sync.RWMutex
	db     *bolt.DB
	handle *os.File // bbolt's own, for reading beside it

	last     atomic.Pointer[boltMeta] // as the last commit has written it; nil: opened for reading only
	sums     atomic.Pointer[pageSums] // of pages of keys, see branchguard.go
	learning sync.Mutex               // held by who learns them

	// unborn: the file still has its temporary name and is not synced, since nothing in it is durable before the first
	// commit of data. Only the flusher and OpenShard touch it.
	unborn bool

	damaged   atomic.Pointer[DamageError] // once set, nothing is read or written
	beginning sync.Mutex                  // held while a transaction begins, or a failed one ends
	stuck     atomic.Bool                 // one died in that and kept bbolt's locks: none can be begun, and db not be closed
}

func mapBytes(o int) int {
	if o > 0 {
		return o
	}
	if ^uint(0)>>32 == 0 || runtime.GOOS == "windows" {
		return mapBytesSmall
	}
	b := int64(mapBytesLarge) // by way of a variable: the constant overflows int on 32-bit systems
	return int(b)
}

// openFile opens or makes the file.
func openFile(path string, mapBytes int, readOnly bool, onDamaged func(error)) (*file, error) {
	f, err := findFile(path, mapBytes, readOnly, onDamaged)
	if err != nil {
		return nil, err
	}
	return f, f.open(readOnly)
}

// findFile is openFile before the file is opened.
func findFile(path string, mapBytes int, readOnly bool, onDamaged func(error)) (*file, error) {
	f := &file{path: path, mapBytes: mapBytes, onDamaged: onDamaged, failed: ErrStorage}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.Size() > 0 && info.Size() < smallestSize:
		return nil, f.damage(fmt.Errorf("file has %d bytes", info.Size()))
	case errors.Is(err, os.ErrNotExist) && !readOnly && lateBirth:
		f.unborn = true
		if err := os.Remove(f.name()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
	}
	return f, nil
}

// unbornSuffix names a file that holds no data yet. A crash leaves it behind, and the next open begins anew: 256 groups
// that are born at once would otherwise wait for more than a thousand syncs of empty files.
const unbornSuffix = ".unborn"

// lateBirth: an open file can be renamed.
const lateBirth = runtime.GOOS != "windows"

// name is what the file is called now.
func (f *file) name() string {
	if f.unborn {
		return f.path + unbornSuffix
	}
	return f.path
}

// birth gives the file its name, after it was synced for the first time.
func (f *file) birth() error {
	if err := f.db.Sync(); err != nil {
		return fmt.Errorf("%w: birth: %w", f.failed, err)
	}
	if err := f.named(); err != nil {
		return err
	}
	f.db.NoSync, f.db.NoGrowSync = false, false
	return nil
}

// named gives the file that was synced its name.
func (f *file) named() error {
	if err := os.Rename(f.name(), f.path); err != nil {
		return fmt.Errorf("%w: birth: %w", f.failed, err)
	}
	if err := syncDir(filepath.Dir(f.path)); err != nil {
		return fmt.Errorf("%w: birth: %w", f.failed, err)
	}
	f.unborn = false
	return nil
}

// make makes a file that was never given its name of what fn writes, whatever it held, and gives it its name.
func (f *file) make(op string, fn func(*boltWriter) error) error {
	if err := f.close(); err != nil {
		return err
	}
	if err := writeBolt(f.name(), fn); err != nil {
		return fmt.Errorf("%w: %s: %w", f.failed, op, err)
	}
	if err := f.named(); err != nil {
		return err
	}
	return f.open(false)
}

// unbear removes a file that is closed and was never given its name.
func (f *file) unbear() {
	if f.unborn {
		_ = os.Remove(f.name()) // left behind, it is removed when there is no file at the path
	}
}

func (f *file) open(readOnly bool) error {
	return f.guard("open", func() error {
		options := &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType, NoStatistics: true, ReadOnly: readOnly,
			NoSync: f.unborn, NoGrowSync: f.unborn, OpenFile: f.openHandle}
		if !readOnly {
			options.InitialMmapSize = f.mapBytes
			if f.mapBytes > mapBytesSmall {
				options.MaxSize = f.mapBytes - mapReserve
			}
		}
		db, err := bolt.Open(f.name(), 0o600, options)
		if err != nil {
			return f.openError(err)
		}
		db.AllocSize = allocBytes
		if !readOnly {
			if err := f.remember(db.Info().PageSize); err != nil {
				return errors.Join(err, db.Close())
			}
		}
		f.db = db
		f.sums.Store(new(pageSums))
		return nil
	})
}

// openHandle opens the file for bbolt.
func (f *file) openHandle(name string, flag int, mode os.FileMode) (h *os.File, err error) {
	h, err = os.OpenFile(name, flag, mode)
	f.handle = h
	return h, err
}

// openError tells damage from other reasons: a lock held, no right, no memory.
func (f *file) openError(err error) error {
	for _, damage := range []error{bolterrors.ErrInvalid, bolterrors.ErrVersionMismatch, bolterrors.ErrChecksum} {
		if errors.Is(err, damage) {
			return f.damage(err)
		}
	}
	if strings.Contains(err.Error(), "page size") || strings.Contains(err.Error(), "file size too small") {
		return f.damage(err)
	}
	if errors.Is(err, syscall.ENOMEM) {
		return fmt.Errorf("open %s: %d bytes of address space are needed: is there a `ulimit -v`? %w", f.path, f.mapBytes, err)
	}
	if errors.Is(err, bolterrors.ErrTimeout) {
		return fmt.Errorf("open %s: %w: another process has it open: %w", f.path, ErrInUse, err)
	}
	return fmt.Errorf("open %s: %w", f.path, err)
}

// guard runs fn on pages of a file that is not known to be damaged.
func (f *file) guard(op string, fn func() error) error {
	if d := f.damaged.Load(); d != nil {
		return d
	}
	return f.protect(op, fn)
}

// protect runs fn on pages of the file. A panic or a fault in it is damage of structure.
func (f *file) protect(op string, fn func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer func() {
		debug.SetPanicOnFault(old)
		if r := recover(); r != nil {
			if page, ok := r.(*pageError); ok { // a page that was looked at
				err = f.damage(page)
				return
			}
			err = f.final(&DamageError{Path: f.path, Structure: true, Err: fmt.Errorf("%s: a page cannot be read: %v", op, r), Stack: string(debug.Stack())})
		}
	}()
	return fn()
}

// damage makes the damage final and tells the owner once.
func (f *file) damage(err error) error {
	return f.final(&DamageError{Path: f.path, Structure: true, Err: err})
}

func (f *file) final(d *DamageError) error {
	if !f.damaged.CompareAndSwap(nil, d) {
		return f.damaged.Load()
	}
	if f.onDamaged != nil {
		f.onDamaged(d)
	}
	return d
}

// begin opens a read transaction, which end must close.
func (f *file) begin() (tx *bolt.Tx, err error) {
	f.mu.RLock()
	err = f.guard("begin", func() error {
		if f.db == nil {
			return ErrClosed
		}
		last := f.last.Load()
		tx, err = f.beginBolt(false)
		if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
			return ErrClosed
		}
		if err == nil {
			err = f.begun(tx, last)
		}
		if err == nil {
			err = f.guides(tx)
		}
		return err
	})
	if err != nil {
		if tx != nil {
			_ = tx.Rollback()
		}
		f.mu.RUnlock()
		return nil, err
	}
	return tx, nil
}

var errStuck = errors.New("a transaction could not be begun, and bbolt keeps its locks")

// beginBolt begins a transaction. Where bbolt panics in that, on metas that make no sense or are gone, it keeps its locks:
// whoever waits for them, or comes later, would wait for ever. So one at a time begins, and none after that.
func (f *file) beginBolt(writable bool) (*bolt.Tx, error) {
	f.beginning.Lock()
	defer f.beginning.Unlock()
	if f.stuck.Load() {
		return nil, f.damage(errStuck)
	}
	f.stuck.Store(true)
	tx, err := f.db.Begin(writable)
	f.stuck.Store(false)
	return tx, err
}

// end closes a read transaction, of a damaged file too.
func (f *file) end(tx *bolt.Tx) {
	defer f.mu.RUnlock()
	_ = tx.Rollback() // a read transaction's rollback touches no page
}

// view runs fn in a read transaction.
func (f *file) view(op string, fn func(*bolt.Tx) error) error {
	tx, err := f.begin()
	if err != nil {
		return err
	}
	defer f.end(tx)
	return f.guard(op, func() error { return fn(tx) })
}

// update runs fn in a write transaction and commits it. An error of fn rolls back; an error of the commit is an unknown
// outcome, and comes wrapped in f.failed. Only the flusher of a shard calls it.
func (f *file) update(op string, fn func(*bolt.Tx) error) error {
	if err := f.commit(op, fn); err != nil || !f.unborn {
		return err
	}
	return f.birth()
}

// commit is update for a file that may stay unborn.
func (f *file) commit(op string, fn func(*bolt.Tx) error) error {
	var tx *bolt.Tx
	err := f.guard(op, func() (err error) {
		if f.db == nil {
			return ErrClosed
		}
		if tx, err = f.beginBolt(true); err != nil {
			return fmt.Errorf("%w: begin: %w", f.failed, err)
		}
		if err := f.begun(tx, f.last.Load()); err != nil {
			return err
		}
		if err := f.guides(tx); err != nil {
			return err
		}
		if err := fn(tx); err != nil {
			return err
		}
		txid := uint64(tx.ID())
		if err := f.listed(f.mapped(tx), txid-1); err != nil {
			return err
		}
		err = tx.Commit()
		tx = nil
		if err != nil {
			return fmt.Errorf("%w: commit: %w", f.failed, err)
		}
		if err := f.committed(txid); err != nil {
			return err
		}
		return f.relearn()
	})
	if err != nil && tx != nil {
		f.rollback(tx)
		err = errors.Join(err, f.guard(op, f.relisted))
	}
	return err
}

// rollback ends a failed write transaction. On a damaged file bbolt may panic here again, before it gives its lock back;
// then the file stays open until the process ends, because closing it would wait for that lock for ever.
func (f *file) rollback(tx *bolt.Tx) {
	f.beginning.Lock()
	defer f.beginning.Unlock()
	f.stuck.Store(true)
	_ = f.protect("rollback", func() error {
		_ = tx.Rollback()
		f.stuck.Store(false)
		return nil
	})
}

// badRecord makes damage of a record that fails its checksum: of its leaf, as far as the key can be read, else of the file.
func (f *file) badRecord(k []byte, err error) error {
	leaf, series, _, keyErr := splitPart(k)
	if keyErr != nil {
		return f.damage(fmt.Errorf("key %x: %w", k, errors.Join(keyErr, err)))
	}
	d := &DamageError{Path: f.path, Leaf: leaf, Err: err}
	d.Series, _ = ParseKey(series)
	if f.onBadLeaf != nil {
		f.onBadLeaf(leaf, d)
	}
	return d
}

// close waits for readers and closes the file.
func (f *file) close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.db == nil || f.stuck.Load() {
		return nil
	}
	db := f.db
	f.db = nil
	if err := db.Close(); err != nil {
		return fmt.Errorf("close %s: %w", f.path, err)
	}
	return nil
}
