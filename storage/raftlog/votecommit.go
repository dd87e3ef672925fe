package raftlog

import (
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	bberrors "go.etcd.io/bbolt/errors"
)

// The buckets of raft-boltdb.
var (
	bucketLogs = []byte("logs")
	bucketConf = []byte("conf")
)

// isStructural says whether an error of bbolt's Open means a file that is not a database any more.
func isStructural(err error) bool {
	return errors.Is(err, bberrors.ErrInvalid) || errors.Is(err, bberrors.ErrChecksum) || errors.Is(err, bberrors.ErrVersionMismatch)
}

// run writes batches until Close, or until the disk fails.
func (v *Votes) run() {
	defer close(v.stopped)
	watchdog := time.AfterFunc(time.Hour, func() { v.fail(errDeadline) })
	defer watchdog.Stop()
	watchdog.Stop()
	for range v.kick {
		v.mu.Lock()
		b := v.waiting
		v.waiting, v.running = nil, b
		scrub := v.scrub
		v.scrub = nil
		closing := v.err != nil
		v.mu.Unlock()
		if b != nil {
			watchdog.Reset(v.deadline)
			values := encodeVotes(b)
			err := v.commit(values)
			if errors.Is(err, ErrDamaged) { // nothing is lost: memory has every record
				v.logger.Error("vote file is damaged: it is written anew", "path", v.path, "error", err)
				err = v.rebuild(v.valuesWith(values), true)
			}
			watchdog.Stop()
			if err != nil {
				v.fail(err)
				endScrub(scrub, err)
				return
			}
			v.finish(b)
		}
		if scrub != nil {
			watchdog.Reset(v.deadline)
			failed := v.runScrub(scrub)
			watchdog.Stop()
			if failed {
				return
			}
		}
		if closing {
			return
		}
	}
}

func encodeVotes(b *voteBatch) map[uint32][]byte {
	values := make(map[uint32][]byte, len(b.records))
	for group, r := range b.records {
		values[group] = nil
		if r != nil {
			values[group] = encodeVote(r)
		}
	}
	return values
}

// transaction writes values in one commit.
func (v *Votes) transaction(values map[uint32][]byte) error {
	return guard("write votes", func() error {
		return v.db.Update(func(tx *bbolt.Tx) error {
			conf := tx.Bucket(bucketConf)
			for group, value := range values {
				var err error
				if value == nil {
					err = conf.Delete(voteKey(group))
				} else {
					err = conf.Put(voteKey(group), value)
				}
				if err != nil {
					return fmt.Errorf("group %d: %w", group, err)
				}
			}
			return nil
		})
	})
}

// finish publishes a written batch, unless a failure was faster.
func (v *Votes) finish(b *voteBatch) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.running != b {
		return
	}
	v.running = nil
	for group, r := range b.records {
		if r == nil {
			delete(v.durable, group)
		} else {
			v.durable[group] = vote{record: *r}
		}
	}
	close(b.done)
}

// fail stops the file for good: a commit error is an unknown outcome.
func (v *Votes) fail(cause error) {
	v.failing.Do(func() {
		err := fmt.Errorf("%w: %w", ErrFailed, cause)
		v.mu.Lock()
		v.err = err
		for _, b := range []*voteBatch{v.running, v.waiting} {
			if b != nil {
				b.err = err
				close(b.done)
			}
		}
		v.running, v.waiting = nil, nil
		endScrub(v.scrub, err)
		v.scrub = nil
		v.mu.Unlock()
		v.logger.Error("vote file has failed", "error", cause)
		if v.fatal != nil {
			v.fatal(err)
		}
	})
}
