package storage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/digest"
)

var (
	// ErrWrongContent: leaf bytes are not what the manifest says. Nothing was kept; blame the source, fetch from another.
	ErrWrongContent = errors.New("leaf has other content than the manifest says")
	// ErrStaging: the stage could not be written (the disk is full, say). No shard is harmed. Close it, and open it again
	// to go on with what was committed, or remove it.
	ErrStaging = errors.New("stage cannot be written")
	// ErrIncomplete: leaves of the manifest are missing. Fetch them first.
	ErrIncomplete = errors.New("leaves of the manifest are missing")
)

// StageOptions of OpenStage.
type StageOptions struct {
	Path            string
	Identity        Identity      // the lineage is not compared: leaves are named by their content
	Window          time.Duration // DefaultWindow if 0
	InitialMmapSize int           // as of Options
	Logger          *slog.Logger  // nil: silent
	Turns           Turns         // of those who put leaves, commit, or read leaves back; nil: nobody waits
}

// Stage is a file of verified leaves that may become a shard. Put, Commit, Drop, Leaves and Bytes may be called by
// several goroutines; a write that fails ends the stage, and no shard: every call answers ErrStaging from then on.
type Stage struct {
	o        StageOptions
	windowNs int64
	file     *file

	// mu guards what follows, and is held through transactions that write.
	mu      sync.Mutex
	leaves  map[digest.Leaf]digest.LeafDigest // committed or waiting
	waiting map[digest.Leaf]*stagedLeaf
	// waitsSince is when the first of them came.
	waitsSince time.Time
	pending    int64 // leaf bytes that wait
	bytes      int64 // leaf bytes of all leaves
	totals     totals
	sealed     bool  // the file is a shard: the next write makes it a stage again
	err        error // of the write that failed
}

// OpenStage goes on with what a crash left: everything that was committed, which had been verified. Where there is nothing, the
// first commit makes the file, or Seal, which then writes it whole. ErrIdentity when it belongs to something else, ErrDamaged
// when it cannot be read, ErrInUse when it was so damaged that closing it was not possible: RemoveStage, then open anew.
func OpenStage(o StageOptions) (*Stage, error) {
	if o.Window == 0 {
		o.Window = DefaultWindow
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Stage{o: o, windowNs: int64(o.Window), leaves: make(map[digest.Leaf]digest.LeafDigest),
		waiting: make(map[digest.Leaf]*stagedLeaf)}
	damaged := func(err error) { o.Logger.Error("stage is damaged", "path", o.Path, "err", err) }
	var err error
	if s.file, err = findFile(o.Path, mapBytes(o.InitialMmapSize), false, damaged); err != nil {
		return nil, fmt.Errorf("open stage: %w", err)
	}
	s.file.failed = ErrStaging
	if s.file.unborn {
		return s, nil
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("open stage: %w", err), s.file.close())
	}
	return s, nil
}

// open opens the file, and makes it where there is none.
func (s *Stage) open() error {
	if err := s.file.open(false); err != nil {
		return err
	}
	return s.load()
}

// load reads what the stage has, or makes it.
func (s *Stage) load() error {
	fresh := false
	err := s.file.view("read stage", func(tx *bolt.Tx) (err error) {
		if fresh = emptyFile(tx); fresh {
			return nil
		}
		if s.totals, s.sealed, err = s.readHead(tx); err != nil {
			return err
		}
		return s.readLeaves(tx)
	})
	if err != nil {
		return err
	}
	if fresh {
		return s.file.commit("make stage", func(tx *bolt.Tx) error {
			for _, name := range [][]byte{bucketStage, bucketBlocks, bucketDigests, bucketSeries} {
				if _, err := tx.CreateBucket(name); err != nil {
					return err
				}
			}
			return s.putHead(s.file.bucket(tx, bucketStage), totals{})
		})
	}
	return s.file.check(context.Background(), false)
}

// readLeaves lists the leaves that have a digest. One whose record cannot be read counts as not there: it is fetched
// again, and its parts are replaced.
func (s *Stage) readLeaves(tx *bolt.Tx) error {
	return s.file.bucket(tx, bucketDigests).each(func(k, v []byte) error {
		leaf, err := leafOf(k)
		if err != nil {
			return s.file.damage(err)
		}
		if d, _, err := parseDigest(k, v); err == nil {
			s.leaves[leaf] = d
			s.bytes += int64(d.Bytes)
		}
		return nil
	})
}

// Leaves lists the leaves put, in order, those that wait for a commit too.
func (s *Stage) Leaves() ([]digest.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	list := make([]digest.Entry, 0, len(s.leaves))
	for leaf, d := range s.leaves {
		list = append(list, digest.Entry{Leaf: leaf, LeafDigest: d})
	}
	slices.SortFunc(list, func(a, b digest.Entry) int { return a.Compare(b.Leaf) })
	return list, nil
}

// has reports whether the stage has a leaf with that content.
func (s *Stage) has(want digest.Entry) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, ok := s.leaves[want.Leaf]
	return ok && d == want.LeafDigest
}

// Bytes is the sum of the leaf bytes put.
func (s *Stage) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// Close closes the file without the last commit. Idempotent.
func (s *Stage) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = fmt.Errorf("stage %s: %w", s.o.Path, ErrClosed)
	}
	clear(s.waiting)
	return s.file.close()
}

// RemoveStage removes a stage that is not open, with all files beside it.
func RemoveStage(path string) error {
	for _, suffix := range []string{"", unbornSuffix, compactSuffix} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove stage: %w", err)
		}
	}
	return nil
}
