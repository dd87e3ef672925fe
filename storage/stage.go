package storage

import (
	"errors"
	"log/slog"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

var (
	// ErrWrongContent: leaf bytes are not what the manifest says. Nothing was kept; blame the source, fetch from another.
	ErrWrongContent = errors.New("leaf has other content than the manifest says")
	// ErrStaging: the stage could not be written (the disk is full, say). No shard is harmed. Close it, and open it again
	// to go on with what was committed, or remove it.
	ErrStaging = errors.New("stage cannot be written")
	// ErrIncomplete: leaves of the manifest are missing. Fetch them first.
	ErrIncomplete = errors.New("stage lacks leaves of the manifest")
)

// StageOptions of OpenStage.
type StageOptions struct {
	Path            string
	Identity        Identity      // the lineage is not compared: leaves are named by their content
	Window          time.Duration // DefaultWindow if 0
	InitialMmapSize int           // as of Options
	Logger          *slog.Logger  // nil: silent
}

// Stage is a file of verified leaves that may become a shard. Put, Commit, Drop, Leaves and Bytes may be called by
// several goroutines.
type Stage struct{}

// OpenStage makes the file, or goes on with what a crash left: everything that was committed, which had been verified.
// ErrIdentity when it belongs to something else, ErrDamaged when it cannot be read: RemoveStage, then open anew.
func OpenStage(o StageOptions) (*Stage, error) { return nil, ErrStaging }

// Put checks leaf bytes whole and keeps them: ErrWrongContent when they are not what is wanted. leafBytes is not kept.
// It commits by itself when stageTxBytes wait.
func (s *Stage) Put(leafBytes []byte, want digest.Entry) error { return ErrStaging }

// Commit brings everything put to disk.
func (s *Stage) Commit() error { return ErrStaging }

// Drop removes leaves, those that are not there too.
func (s *Stage) Drop(leaves ...digest.Leaf) error { return ErrStaging }

// Leaves lists the leaves put, in order, those that wait for a commit too.
func (s *Stage) Leaves() ([]digest.Entry, error) { return nil, ErrStaging }

// Bytes is the sum of the leaf bytes put.
func (s *Stage) Bytes() int64 { return 0 }

// Close closes the file without the last commit. Idempotent.
func (s *Stage) Close() error { return nil }

// RemoveStage removes a stage that is not open, with all files beside it.
func RemoveStage(path string) error { return ErrStaging }
