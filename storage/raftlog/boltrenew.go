package raftlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// What bbolt keeps in memory, or reads past, of a file that is open (the older meta page, the freelist, the order of keys
// between two that it looks for) may be bad without one entry being so: the next start, which walks the whole file, would
// take the log for a lost one. So a scrub walks it, too, and while every entry can still be read, writes the file anew.

const (
	// maxRenewBytes bounds the file that is walked: appends to the log wait meanwhile. A larger one is walked by the
	// next start alone, like any.
	maxRenewBytes = 128 << 20
	renewBatch    = 256 // entries of a transaction
)

// scrubFile walks the file of an open log, and mends its structure. What cannot be mended has an entry that cannot be
// read, or a disk that cannot be written: reading the entries tells the first, and the next scrub tries again.
func (l *boltLog) scrubFile() (bytes int64, bad []BadRecord, err error) {
	if err := l.lockLost(); err != nil {
		return 0, nil, err
	}
	defer l.unlock()
	if l.isLost() != nil || l.broken.Load() {
		return 0, nil, nil // that is known, and told to who reads
	}
	path := l.engine.path(l.group)
	info, err := os.Stat(path)
	if err == nil {
		if bytes = info.Size(); bytes > maxRenewBytes {
			return 0, nil, nil
		}
		err = examineLog(path)
	}
	switch {
	case err == nil:
		return bytes, nil, nil
	case !errors.Is(err, ErrDamaged) && !errors.Is(err, fs.ErrNotExist):
		return bytes, nil, fmt.Errorf("scrub %s: %w", path, err)
	}
	b := BadRecord{Group: l.group, Where: path, Reason: err.Error()}
	log := l.engine.o.Logger.With("group", l.group, "path", path, "damage", err)
	if err := l.renew(path); err != nil {
		log.Error("log file is damaged, and is not written anew", "error", err)
	} else {
		log.Error("log file was damaged: it is written anew, with all entries")
		b.Mended = true
	}
	return bytes, []BadRecord{b}, nil
}

// renew puts a file with what bbolt still gives in the place of the log's. The caller is the writer.
func (l *boltLog) renew(path string) error {
	if err := l.copyTo(path + newSuffix); err != nil {
		return errors.Join(err, os.Remove(path+newSuffix))
	}
	l.using.Lock()
	defer l.using.Unlock()
	return l.write("renew", func() error {
		if err := l.store.Close(); err != nil {
			return err
		}
		if err := os.Rename(path+newSuffix, path); err != nil {
			return err
		}
		if err := syncDir(filepath.Dir(path)); err != nil {
			return err
		}
		var err error
		l.store, err = newBoltStore(path)
		return err
	})
}

// copyTo writes state and entries to a file of another name. Each entry passes its CRC, or is in memory still.
func (l *boltLog) copyTo(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	to, err := newBoltStore(path)
	if err != nil {
		return err
	}
	err = to.Set(boltStateKey, l.state.encode())
	var batch []*raft.Log
	for i := l.first; i != 0 && i <= l.last && err == nil; i++ {
		log := new(raft.Log)
		if err = l.get(i, log); err != nil && !l.unapplied.get(i, log) {
			break
		}
		err = nil
		if batch = append(batch, sealBolt(log)); len(batch) == renewBatch || i == l.last {
			err = to.StoreLogs(batch)
			batch = batch[:0]
		}
	}
	return errors.Join(err, to.Close())
}
