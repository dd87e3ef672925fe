package directory

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"syscall"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/raftlog"
)

// logFile is raft.db: the log and the vote of this replica, in the layout of
// raft-boltdb (format.go). All of it is in memory too (some thousand small
// entries), and Raft reads there, so:
//
//	a file that has rotted is met at a start, where it is walked and checked as
//	  a whole before bbolt gets it: then nobody knows what was promised
//	  (ErrStateLost), and nothing of it is used
//	one that rots while the node runs is written anew from memory, by the first
//	  write that meets it, or by a scrub
type logFile struct {
	path   string
	logger *slog.Logger

	writer sync.Mutex // held by who writes the file; guards db
	db     *bbolt.DB  // nil: closed, or given up; nothing is written any more

	mu   sync.RWMutex // guards held, for memory only
	held *held        // what is on disk
}

var bucketLogs, bucketConf = []byte("logs"), []byte("conf")

// openLogFile opens the file, or makes it.
func openLogFile(path string, logger *slog.Logger) (*logFile, error) {
	f := &logFile{path: path, logger: logger}
	var err error
	switch f.held, err = readLogFile(path); {
	case errors.Is(err, fs.ErrNotExist):
		f.held = newHeld()
		return f, f.renew(f.held)
	case err != nil:
		return nil, err
	}
	if err := f.open(); err != nil {
		return nil, err
	}
	if f.held.old {
		f.held.old = false
		if err := f.prepare(f.held); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.leave()
		return f, f.replace()
	}
	return f, nil
}

func (f *logFile) open() error {
	return raftlog.Guarded("open "+f.path, func() (err error) {
		f.db, err = bbolt.Open(f.path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
		return err
	})
}

// leave closes a file that another one replaces.
func (f *logFile) leave() {
	if err := raftlog.Guarded("close "+f.path, f.db.Close); err != nil {
		f.logger.Warn("the file that is replaced was not closed", "path", f.path, "err", err)
	}
	f.db = nil
}

// newSuffix ends the name of a file in the making.
const newSuffix = ".new"

// renew puts a file with h in the place of the present one, which is closed, or
// was left alone since bbolt has panicked over it. The caller is the writer.
func (f *logFile) renew(h *held) error {
	if err := f.prepare(h); err != nil {
		return err
	}
	return f.replace()
}

// prepare makes the file that is to replace this one, which it leaves as it is.
func (f *logFile) prepare(h *held) error {
	path := f.path
	if err := os.Remove(path + newSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make %s: %w", path, err)
	}
	fresh := &logFile{path: path + newSuffix}
	if err := fresh.open(); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	err := fresh.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketLogs, bucketConf} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return put(tx, h.all(), h.vote, h.first, h.last)
	})
	if err := errors.Join(err, fresh.db.Close()); err != nil {
		return fmt.Errorf("make %s: %w", path, err)
	}
	return nil
}

// replace puts what prepare made in the place of the file, and opens it.
func (f *logFile) replace() error {
	if err := raftlog.ReplaceFile(f.path+newSuffix, f.path); err != nil {
		return fmt.Errorf("make %s: %w", f.path, err)
	}
	return f.open()
}

// put adds entries and replaces the vote, with the ends of the log.
func put(tx *bbolt.Tx, logs []*raft.Log, v vote, first, last uint64) error {
	to, conf := tx.Bucket(bucketLogs), tx.Bucket(bucketConf)
	if to == nil || conf == nil {
		return fmt.Errorf("a bucket is missing: %w", raftlog.ErrDamaged)
	}
	for _, log := range logs {
		b, err := raftlog.EncodeEntry(log)
		if err != nil {
			return err
		}
		if err := to.Put(binary.BigEndian.AppendUint64(nil, log.Index), b); err != nil {
			return err
		}
	}
	if v.zero() && last == 0 {
		return nil // of a replica that was never used
	}
	return conf.Put(keyVote, encodeVote(v, first, last))
}

// change is what one transaction does: entries from..through go, put comes.
type change struct {
	from, through uint64
	put           []*raft.Log
	vote          *vote // nil: it stays
}

// write makes a change durable, then visible. One that meets damage is made in
// a new file: memory has all the rest.
func (f *logFile) write(c change) error {
	if f.db == nil {
		return ErrClosed
	}
	f.mu.RLock()
	next := f.held.after(c)
	f.mu.RUnlock()
	err := raftlog.Guarded("write "+f.path, func() error {
		return f.db.Update(func(tx *bbolt.Tx) error {
			for i := c.from; i != 0 && i <= c.through; i++ {
				if logs := tx.Bucket(bucketLogs); logs != nil {
					if err := logs.Delete(binary.BigEndian.AppendUint64(nil, i)); err != nil {
						return err
					}
				}
			}
			return put(tx, c.put, next.vote, next.first, next.last)
		})
	})
	damaged := errors.Is(err, raftlog.ErrDamaged)
	if err != nil && !damaged {
		// A page number that is bad makes the disk refuse, too.
		if _, why := readLogFile(f.path); !errors.Is(why, ErrStateLost) {
			return err
		}
		damaged = true
	}
	if damaged {
		f.logger.Error("raft.db of the meta group is damaged: it is written anew from memory, look after the disk", "path", f.path, "err", err)
		f.db = nil // a handle that has panicked keeps its lock: the next transaction would wait for ever
		h := f.held.clone()
		h.apply(c, next)
		if err := f.renew(h); err != nil {
			return err
		}
	}
	f.mu.Lock()
	f.held.apply(c, next)
	f.mu.Unlock()
	return nil
}

// scrub reads the file back. One that is not what memory has is written anew.
func (f *logFile) scrub() error {
	f.writer.Lock()
	defer f.writer.Unlock()
	if f.db == nil {
		return nil // closed
	}
	h, err := readLogFile(f.path)
	if err == nil {
		if err = h.differs(f.held); err == nil {
			return nil
		}
	} else if !errors.Is(err, ErrStateLost) && !errors.Is(err, syscall.EIO) && !errors.Is(err, fs.ErrNotExist) {
		f.logger.Warn("raft.db of the meta group could not be read back: tried again later", "path", f.path, "err", err)
		return nil
	}
	f.logger.Error("raft.db of the meta group is damaged: it is written anew from memory, look after the disk", "path", f.path, "err", err)
	if err := f.prepare(f.held); err != nil { // a full disk; what was promised is in memory yet
		f.logger.Error("raft.db of the meta group could not be written anew: tried again later", "path", f.path, "err", err)
		return nil
	}
	f.leave()
	return f.replace()
}

// FirstIndex implements raft.LogStore.
func (f *logFile) FirstIndex() (uint64, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.held.first, nil
}

// LastIndex implements raft.LogStore.
func (f *logFile) LastIndex() (uint64, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.held.last, nil
}

// GetLog implements raft.LogStore.
func (f *logFile) GetLog(i uint64, log *raft.Log) error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	l, ok := f.held.entries[i]
	if !ok {
		return raft.ErrLogNotFound
	}
	*log = *l
	return nil
}

// StoreLog implements raft.LogStore.
func (f *logFile) StoreLog(l *raft.Log) error { return f.StoreLogs([]*raft.Log{l}) }

// StoreLogs implements raft.LogStore. They follow each other, and the last one.
func (f *logFile) StoreLogs(logs []*raft.Log) error {
	f.writer.Lock()
	defer f.writer.Unlock()
	next := f.held.last + 1
	kept := make([]*raft.Log, len(logs))
	for k, log := range logs {
		if k == 0 && f.held.last == 0 {
			next = log.Index
		}
		if log.Index != next {
			return fmt.Errorf("append entry %d of the meta group: the next is %d", log.Index, next)
		}
		own := *log
		kept[k], next = &own, next+1
	}
	if len(kept) == 0 {
		return nil
	}
	return f.write(change{put: kept})
}

// DeleteRange implements raft.LogStore. What is left has no hole.
func (f *logFile) DeleteRange(from, through uint64) error {
	f.writer.Lock()
	defer f.writer.Unlock()
	from, through = max(from, f.held.first), min(through, f.held.last)
	switch {
	case f.held.last == 0 || from > through:
		return nil
	case from > f.held.first && through < f.held.last:
		return fmt.Errorf("delete %d..%d of the meta group's log of %d..%d: it would leave a hole", from, through, f.held.first, f.held.last)
	}
	return f.write(change{from: from, through: through})
}

// lastVote is what this replica has promised.
func (f *logFile) lastVote() vote {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.held.vote
}

func (f *logFile) setVote(edit func(*vote)) error {
	f.writer.Lock()
	defer f.writer.Unlock()
	v := f.held.vote
	edit(&v)
	return f.write(change{vote: &v})
}

// Close closes the file.
func (f *logFile) Close() error {
	f.writer.Lock()
	defer f.writer.Unlock()
	if f.db == nil {
		return nil
	}
	db := f.db
	f.db = nil
	return raftlog.Guarded("close "+f.path, db.Close)
}
