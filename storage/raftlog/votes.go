package raftlog

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// VoteRecord is what a replica must remember about elections, with the identity under which it voted.
type VoteRecord struct {
	Group        uint32
	Lineage      string // at most 1 KiB
	Generation   uint32
	CurrentTerm  uint64
	LastVoteTerm uint64
	LastVoteCand []byte // at most 1 KiB
}

// VotesOptions configure the vote file.
type VotesOptions struct {
	// MustExist: the directory has been in use, so a missing or empty file is ErrVotesMissing and not made.
	MustExist bool
	// Fatal is called once on a disk error or a write that takes longer than Deadline.
	Fatal    func(error)
	Deadline time.Duration // AppendDeadline by default
	Logger   *slog.Logger
}

// Votes is the vote file of a node: the record of each group, all in memory, and one goroutine that writes
// what changes. Records that change while a transaction is under way share the next one (group commit: an
// election of many groups at once costs a few fsyncs, not two a group). Safe for concurrent use.
type Votes struct {
	path     string
	pageSize int
	db       *bbolt.DB // the writing goroutine's own, until that has stopped
	fatal    func(error)
	deadline time.Duration
	logger   *slog.Logger
	commit   func(map[uint32][]byte) error // one transaction; nil value: delete. Replaced by tests

	failing sync.Once
	kick    chan struct{} // cap 1
	stopped chan struct{}

	mu      sync.Mutex // guards the rest
	durable map[uint32]vote
	waiting *voteBatch // gathers
	running *voteBatch // being written
	scrub   *voteScrub // waits to be run
	err     error      // why nothing can be written any more
}

// vote is a record as it is on disk, or why it cannot be read.
type vote struct {
	record VoteRecord
	err    error
}

// voteBatch is what one transaction writes. err is valid once done is closed.
type voteBatch struct {
	records map[uint32]*VoteRecord // nil: delete
	done    chan struct{}
	err     error
}

const votesOpenTimeout = 2 * time.Second

// OpenVotes opens or creates the file. An error that is ErrDamaged means that it is unreadable as a
// whole: in a used directory the node needs a new incarnation.
func OpenVotes(path string, o VotesOptions) (*Votes, error) {
	v := &Votes{
		path: path, fatal: o.Fatal, deadline: o.Deadline, logger: o.Logger,
		kick: make(chan struct{}, 1), stopped: make(chan struct{}), durable: make(map[uint32]vote),
	}
	if v.deadline <= 0 {
		v.deadline = AppendDeadline
	}
	if v.logger == nil {
		v.logger = slog.New(slog.DiscardHandler)
	}
	v.commit = v.transaction
	if info, err := os.Stat(path); o.MustExist && (err != nil || info.Size() == 0) {
		return nil, fmt.Errorf("open votes %s: %w", path, ErrVotesMissing)
	}
	err := guard("open votes "+path, func() error {
		db, err := openVoteFile(path)
		if err != nil {
			return err
		}
		v.db, v.pageSize = db, db.Info().PageSize
		return v.load()
	})
	if err != nil {
		if v.db != nil && !errors.Is(err, ErrDamaged) {
			v.db.Close()
		}
		if isStructural(err) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return nil, fmt.Errorf("open votes %s: %w", path, err)
	}
	go v.run()
	return v, nil
}

// load reads every record and makes the buckets.
func (v *Votes) load() error {
	return v.db.Update(func(tx *bbolt.Tx) error {
		if _, err := tx.CreateBucketIfNotExists(bucketLogs); err != nil {
			return err
		}
		conf, err := tx.CreateBucketIfNotExists(bucketConf)
		if err != nil {
			return err
		}
		return conf.ForEach(func(k, b []byte) error {
			if group, ok := parseVoteKey(k); ok {
				r, err := decodeVote(group, b)
				v.durable[group] = vote{r, err}
			}
			return nil
		})
	})
}

// Record returns the group's record; false if there is none; ErrVoteUnreadable if it fails its CRC.
func (v *Votes) Record(group uint32) (VoteRecord, bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	r, ok := v.durable[group]
	r.record.LastVoteCand = slices.Clone(r.record.LastVoteCand)
	return r.record, ok && r.err == nil, r.err
}

// Groups lists the groups with a record, readable or not, sorted.
func (v *Votes) Groups() []uint32 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Sorted(maps.Keys(v.durable))
}

// Put writes a whole record: for an install, which raises CurrentTerm, for a new generation, and over an
// unreadable one.
func (v *Votes) Put(r VoteRecord) error {
	r.LastVoteCand = slices.Clone(r.LastVoteCand)
	return v.change(r.Group, func(old *VoteRecord) { *old = r })
}

// Remove deletes the group's record.
func (v *Votes) Remove(group uint32) error { return v.change(group, nil) }

// change puts a change of one record (nil: its removal) into the next transaction and waits for it.
func (v *Votes) change(group uint32, edit func(*VoteRecord)) error {
	v.mu.Lock()
	if v.err != nil {
		err := v.err
		v.mu.Unlock()
		return err
	}
	b := v.waiting
	if b == nil {
		b = &voteBatch{records: make(map[uint32]*VoteRecord), done: make(chan struct{})}
		v.waiting = b
	}
	if edit == nil {
		b.records[group] = nil
	} else {
		r := v.latest(group)
		edit(&r)
		if len(r.Lineage) > maxVoteString || len(r.LastVoteCand) > maxVoteString {
			v.mu.Unlock()
			return fmt.Errorf("write vote of group %d: %w: lineage or candidate", group, ErrTooLarge)
		}
		b.records[group] = &r
	}
	v.mu.Unlock()
	v.wake()
	<-b.done
	if b.err != nil {
		return fmt.Errorf("write vote of group %d: %w", group, b.err)
	}
	return nil
}

// latest is the record that a change builds on: what is on its way to disk, else what is there. Needs mu.
func (v *Votes) latest(group uint32) VoteRecord {
	for _, b := range []*voteBatch{v.waiting, v.running} {
		if b == nil {
			continue
		}
		if r, ok := b.records[group]; ok {
			if r == nil {
				return VoteRecord{Group: group}
			}
			return *r
		}
	}
	if r, ok := v.durable[group]; ok && r.err == nil {
		return r.record
	}
	return VoteRecord{Group: group}
}

func (v *Votes) wake() {
	select {
	case v.kick <- struct{}{}:
	default:
	}
}

// Close waits for running writes.
func (v *Votes) Close() error {
	v.mu.Lock()
	closing := v.err == nil
	if closing {
		v.err = ErrClosed
	}
	failed := errors.Is(v.err, ErrFailed)
	v.mu.Unlock()
	if failed {
		return v.err // the writer may hang in the file: leave it to the exit
	}
	v.wake()
	<-v.stopped
	if closing {
		return v.db.Close()
	}
	return nil
}
