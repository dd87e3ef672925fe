package raftlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/bbolt"
)

// A scrub of the vote file compares all of it with memory, where every record is as it was written. It runs on the
// goroutine that writes, between two commits. Anything that differs, in a record or in the structure around it, makes
// it write the file anew, beside the old one, and put it in its place.

// voteScrub is a scrub that somebody waits for. The results are valid once done is closed.
type voteScrub struct {
	bytes int64
	bad   []BadRecord
	err   error
	done  chan struct{}
}

const (
	maxVoteFile = 256 << 20 // one that is larger is not ours
	// unreadableVote stands for a record that was unreadable when the file was opened: it still is.
	unreadableVote = "\x00"
)

// Scrub reads the vote file back, every record and the structure around them, and writes it anew if anything in it
// is bad; the file is small. bad names the records that were hit, or Group 0 and Index 0 where none was.
func (v *Votes) Scrub(ctx context.Context) (bytes int64, bad []BadRecord, err error) {
	s := &voteScrub{done: make(chan struct{})}
	v.mu.Lock()
	if v.err != nil {
		defer v.mu.Unlock()
		return 0, nil, v.err
	}
	if v.scrub != nil {
		s = v.scrub // one that has not begun serves both
	}
	v.scrub = s
	v.mu.Unlock()
	v.wake()
	select {
	case <-s.done:
		return s.bytes, s.bad, s.err
	case <-ctx.Done():
		return 0, nil, ctx.Err()
	}
}

// runScrub is called by the goroutine that writes; true: there is no file any more that it could write.
func (v *Votes) runScrub(s *voteScrub) (failed bool) {
	defer close(s.done)
	want := v.values()
	s.bytes, s.bad, s.err = v.compare(want)
	if s.err != nil || len(s.bad) == 0 {
		return false
	}
	v.logger.Error("vote file is damaged: it is written anew", "path", v.path, "found", len(s.bad), "first", s.bad[0].Reason)
	if err := v.rebuild(want, false); err != nil {
		v.logger.Error("vote file is not written anew", "path", v.path, "error", err)
		return errors.Is(err, ErrFailed)
	}
	for i := range s.bad {
		s.bad[i].Mended = want[s.bad[i].Group] == nil || string(want[s.bad[i].Group]) != unreadableVote
	}
	return false
}

// values are the records as they should be on disk.
func (v *Votes) values() map[uint32][]byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	values := make(map[uint32][]byte, len(v.durable))
	for group, r := range v.durable {
		if r.err != nil {
			values[group] = []byte(unreadableVote)
		} else {
			values[group] = encodeVote(&r.record)
		}
	}
	return values
}

// valuesWith are the records with a batch that is on its way; a nil value is one that goes.
func (v *Votes) valuesWith(batch map[uint32][]byte) map[uint32][]byte {
	values := v.values()
	for group, value := range batch {
		if values[group] = value; value == nil {
			delete(values, group)
		}
	}
	return values
}

// compare reads the file and lists what is bad in it.
func (v *Votes) compare(want map[uint32][]byte) (n int64, bad []BadRecord, err error) {
	b, err := readVoteFile(v.path)
	if err != nil {
		return 0, nil, fmt.Errorf("scrub votes %s: %w", v.path, err)
	}
	hit := func(group uint32, reason string) {
		bad = append(bad, BadRecord{Group: group, Where: v.path, Reason: "vote file: " + reason})
	}
	got, err := walkVotes(b, v.pageSize)
	if err != nil {
		hit(0, err.Error())
	}
	for _, group := range slices.Sorted(maps.Keys(want)) {
		value, have := got[string(voteKey(group))]
		delete(got, string(voteKey(group)))
		switch _, err := decodeVote(group, value); {
		case string(want[group]) == unreadableVote:
		case !have && len(bad) > 0: // behind what could not be walked
		case !have:
			hit(group, "record is missing")
		case err != nil:
			hit(group, err.Error())
		case !bytes.Equal(value, want[group]):
			hit(group, "record is not the one that was written last")
		}
	}
	for k := range got {
		hit(0, fmt.Sprintf("record %x is nobody's", k))
	}
	return int64(len(b)), bad, nil
}

func readVoteFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // as bad as an empty one
	}
	if err != nil {
		return nil, err
	}
	if info.Size() > maxVoteFile {
		return nil, ErrFormat
	}
	return os.ReadFile(path)
}

// rebuild writes the file anew. After an error before the switch the old one is in use as before; later ones are
// those of a disk that has failed. broken: bbolt has panicked on the old one, and may hold its locks.
func (v *Votes) rebuild(want map[uint32][]byte, broken bool) error {
	next := v.path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := openVoteFile(next)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucketLogs)
		if err != nil {
			return err
		}
		conf, err := tx.CreateBucket(bucketConf)
		for group, value := range want {
			err = errors.Join(err, conf.Put(voteKey(group), value))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	if err := v.replace(next, broken); err != nil {
		v.fail(err)
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return nil
}

// replace puts the new file in the place of the one that is open, and opens it.
func (v *Votes) replace(next string, broken bool) error {
	if broken { // its memory and its lock go with the process
	} else if err := guard("close votes", v.db.Close); err != nil {
		v.logger.Warn("damaged vote file did not close", "error", err)
	}
	if err := os.Rename(next, v.path); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(v.path)); err != nil {
		return err
	}
	db, err := openVoteFile(v.path)
	if err == nil {
		v.db = db
	}
	return err
}

func openVoteFile(path string) (*bbolt.DB, error) {
	return bbolt.Open(path, 0o600, &bbolt.Options{Timeout: votesOpenTimeout, FreelistType: bbolt.FreelistMapType, NoSync: withoutSync})
}

// endScrub ends one that will not run.
func endScrub(s *voteScrub, err error) {
	if s != nil {
		s.err = err
		close(s.done)
	}
}
