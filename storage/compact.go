package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	compactSuffix  = ".compact"
	compactTxBytes = 16 << 20 // of one transaction while copying: its pages are on the heap
)

// removeStaleCompaction removes what a compaction that did not end left behind.
func removeStaleCompaction(path string) { _ = os.Remove(path + compactSuffix) }

// compactIfIdle copies a file of which more than half is free into a new one. bbolt never shrinks a file, and every
// commit writes the list of its free pages. Readers go on while it copies; the switch waits for a moment without any.
func (s *Shard) compactIfIdle() {
	now := time.Now()
	if s.compactAt.IsZero() || now.Before(s.compactAt) {
		return
	}
	s.compactAt = time.Time{}
	s.mu.RLock()
	busy := len(s.pins)+len(s.looks) > 0
	s.mu.RUnlock()
	if busy {
		s.compactAt = now.Add(s.o.IdleCompact)
		return
	}
	wasteful, err := s.file.wasteful(s.o.MinCompactBytes)
	if err != nil {
		s.writeFailed(err)
		return
	}
	if !wasteful {
		return
	}
	before, _ := diskBytes(s.o.Path)
	s.budget.slots <- struct{}{}
	err = s.file.compact()
	<-s.budget.slots
	switch {
	case errors.Is(err, errBusy):
		s.compactAt = now.Add(s.o.IdleCompact)
	case err != nil:
		s.writeFailed(err)
	default:
		after, _ := diskBytes(s.o.Path)
		s.log.Info("shard file compacted", "path", s.o.Path, "bytes_before", before, "bytes_after", after)
	}
}

var errBusy = errors.New("file is being read")

// wasteful reports whether the file has reached a size and more than half of its pages are free.
func (f *file) wasteful(minBytes int64) (yes bool, err error) {
	err = f.view("count free pages", func(tx *bolt.Tx) error {
		if tx.Size() < minBytes {
			return nil
		}
		free, pages := 0, int(tx.Size())/f.db.Info().PageSize
		for id := 0; id < pages; id++ {
			p, err := tx.Page(id)
			if err != nil {
				return err
			}
			if p == nil { // behind the last page in use
				pages = id
				break
			}
			if p.Type == "free" {
				free++
			} else {
				id += p.OverflowCount
			}
		}
		yes = free > pages/2 && int64(pages)*int64(f.db.Info().PageSize) >= minBytes
		return nil
	})
	return yes, err
}

// compact writes a compacted copy, and puts it in the file's place if nobody reads: errBusy otherwise.
func (f *file) compact() error {
	temp := f.path + compactSuffix
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: compact: %w", ErrStorage, err)
	}
	err := f.compactTo(temp)
	if err == nil {
		err = f.become(temp)
	}
	if err != nil {
		_ = os.Remove(temp)
	}
	return err
}

// become takes over a copy.
func (f *file) become(temp string) error {
	if err := f.lookAtAll("compact"); err != nil { // what is not what it was now was not, or may not have been, when it was copied
		return err
	}
	return f.swap(temp)
}

// lookAtAll looks at all pages of keys.
func (f *file) lookAtAll(op string) error {
	return f.view(op, func(tx *bolt.Tx) error {
		f.pages(tx).all()
		return nil
	})
}

func (f *file) compactTo(temp string) error {
	if err := f.lookAtAll("compact"); err != nil { // bbolt follows them
		return err
	}
	return f.guard("compact", func() error {
		dst, err := bolt.Open(temp, 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType, NoStatistics: true})
		if err != nil {
			return fmt.Errorf("%w: compact: %w", ErrStorage, err)
		}
		if err := bolt.Compact(dst, f.db, compactTxBytes); err != nil {
			return errors.Join(fmt.Errorf("%w: compact: %w", ErrStorage, err), dst.Close())
		}
		if err := dst.Close(); err != nil {
			return fmt.Errorf("%w: compact: %w", ErrStorage, err)
		}
		return nil
	})
}

// swap puts another file in this one's place. A file must be closed before it is replaced on some systems; if the
// process dies in between, the old one is still there, and complete.
func (f *file) swap(temp string) error {
	if !f.mu.TryLock() {
		return errBusy
	}
	defer f.mu.Unlock()
	if err := f.db.Close(); err != nil {
		return fmt.Errorf("%w: swap: %w", ErrStorage, err)
	}
	f.db = nil
	if err := os.Rename(temp, f.path); err != nil {
		return fmt.Errorf("%w: swap: %w", ErrStorage, err)
	}
	if err := syncDir(filepath.Dir(f.path)); err != nil {
		return fmt.Errorf("%w: swap: %w", ErrStorage, err)
	}
	return f.open(false)
}
