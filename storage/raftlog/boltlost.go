package raftlog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
)

// A log of the boltdb engine whose file is damaged as a whole is lost: nobody knows what it held. It opens all the same,
// as a log without entries that Check reports as corrupt, with an unknown tail, at every open; it can only be Reset, by
// an owner who has taken a new generation. Only then another file takes the place of the damaged one, which stays beside
// it. So no start ever takes a damaged log for an empty one.
//
// The file is walked before bbolt gets it: bbolt would go on from an older commit where the newest meta page is bad,
// make an empty log of a file without bytes, and may keep its lock on one that it has panicked over. New files get their
// name when they are whole, so that one without is damaged, too.
const (
	damagedSuffix = ".damaged" // what a lost log was; the next one replaces it
	newSuffix     = ".new"     // a file in the making
)

// examineLog reads the structure of a file: ErrDamaged, or why it cannot be read.
func examineLog(path string) error {
	return ReadBoltFile(path, func(_, _, _ []byte) error { return nil })
}

// ReadBoltFile walks a file in the layout of raft-boltdb, every bound of it checked, and gives what its buckets hold in the
// order of their keys. What each finds wrong is damage, too: ErrDamaged. Nothing but the caller may write the file meanwhile.
func ReadBoltFile(path string, each func(bucket, k, v []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, votePageHead+voteMetaSize)
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	size := uint64(os.Getpagesize())
	if m, err := parseVoteMeta(head, 0); err == nil {
		size = m.size // of a machine with other pages
	}
	var failed error
	read := func(from, n uint64) ([]byte, error) {
		b := make([]byte, n)
		_, failed = f.ReadAt(b, int64(from))
		return b, failed
	}
	if err := walkFile(read, uint64(info.Size()), size, each); err != nil && failed == nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return failed
}

// makeLog makes a file, of an empty log in a state (nil: of one that never was), under its own name or not at all.
func makeLog(path string, state *boltState) error {
	if err := os.Remove(path + newSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	store, err := newBoltStore(path + newSuffix)
	if err != nil {
		return err
	}
	if state != nil {
		err = store.Set(boltStateKey, state.encode())
	}
	if err := errors.Join(err, store.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+newSuffix, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func newBoltStore(path string) (*raftboltdb.BoltStore, error) {
	return raftboltdb.New(raftboltdb.Options{
		Path:        path,
		BoltOptions: &bbolt.Options{Timeout: votesOpenTimeout, FreelistType: bbolt.FreelistMapType},
	})
}

// lose makes a lost log of one that could not be opened.
func (l *boltLog) lose(cause error) *boltLog {
	l.engine.o.Logger.Error("log is lost", "group", l.group, "path", l.engine.path(l.group), "error", cause)
	lost := newBoltLog(l.engine, l.group)
	lost.broken.Store(true)
	lost.lost = &CorruptError{Group: l.group, Index: 1, TailUnknown: true, Where: l.engine.path(l.group), Reason: cause.Error()}
	return lost
}

// isLost is what Check says of a lost log, nil for any other.
func (l *boltLog) isLost() *CorruptError {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.lost
}

// replace resets a lost log: an empty one takes its place. The caller is the writer.
func (l *boltLog) replace(next uint64, generation uint32) error {
	path := l.engine.path(l.group)
	state := boltState{generation: generation, next: next}
	var store *raftboltdb.BoltStore
	err := l.write("replace", func() error {
		if err := os.Remove(path + damagedSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Link(path, path+damagedSuffix); err != nil { // the file system may know no links
			l.engine.o.Logger.Warn("a damaged log is not kept", "group", l.group, "error", err)
		}
		if err := makeLog(path, &state); err != nil {
			return err
		}
		var err error
		store, err = newBoltStore(path)
		return err
	})
	if err != nil {
		return err
	}
	l.engine.mu.Lock()
	delete(l.engine.stuck, l.group)
	l.engine.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.store, l.state, l.lost = store, state, nil
	l.broken.Store(false)
	return nil
}
