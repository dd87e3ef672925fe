package resync

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// The staging folder of a job. Nothing else lives there.
//
//	job.json   what a job must remember over restarts of its process: a JSON object a line, of which the last whole line counts
//	shard.db   the stage file
const (
	stateFile    = "job.json"
	stageFile    = "shard.db"
	stateVersion = 1
	maxStateFile = 4 << 20 // bytes
	maxNotes     = 1 << 20 // bytes of lines, before one takes their place
)

// state is what a job remembers. It is written before whatever it says is done, lazily as a rule: a switch that is forgotten is
// found again by what the replica holds, views and leases that are run out, and no cut's name is used twice.
type state struct {
	Version  int     `json:"version"`
	Request  Request `json:"request"`
	Attempt  int     `json:"attempt"`
	Restarts int     `json:"restarts"`

	Asked       bool          `json:"asked"`             // a log lease may live
	Cuts        int           `json:"cuts"`              // that were asked for: the views of all may live
	CutIDs      []string      `json:"cut_ids,omitempty"` // of the last ones, oldest first; an older binary made them of their numbers
	Pin         string        `json:"pin,omitempty"`     // a record pinned on the leader
	CutsAborted int           `json:"cuts_aborted"`
	Fence       time.Duration `json:"fence"` // the longest of all

	Verdict      string        `json:"verdict,omitempty"`
	Reason       string        `json:"reason,omitempty"`
	PlannedBytes int64         `json:"planned_bytes"`
	PlannedS     float64       `json:"planned_s"`
	PlannedN     int64         `json:"planned_entries"`
	Replayed     int64         `json:"entries_replayed"`
	Sources      []SourceBytes `json:"sources,omitempty"`
	Blamed       []string      `json:"blamed,omitempty"`
	Copied       int64         `json:"bytes_copied"`
	Kept         int64         `json:"bytes_kept"`
	InPlace      bool          `json:"in_place"`
	ProofS       float64       `json:"proof_s"`
	// Suspects: leaves of the replica's own file whose bytes are not what it says of them. They are fetched.
	Suspects []digest.Leaf `json:"suspects,omitempty"`

	// Switching is the state that the replica was about to switch to, once a proof was equal.
	Switching *switched `json:"switching,omitempty"`
	Installed bool      `json:"installed"`

	Ending Status `json:"ending,omitempty"` // what the job has come to: only giving back is left
	Error  string `json:"error,omitempty"`
}

// switched names a proven state.
type switched struct {
	CutID    string           `json:"cut_id"`
	Lineage  string           `json:"lineage"`
	Position storage.Position `json:"position"`
	Root     digest.ID        `json:"root"`
}

// leases are the ids of all that may live in the log.
func (s *state) leases() (ids []string) {
	if s.Asked {
		ids = append(ids, s.Request.ID)
	}
	for n := max(0, s.Cuts-maxCutIDs/2); n < s.Cuts-len(s.CutIDs); n++ {
		ids = append(ids, oldCutID(s.Request.ID, n+1))
	}
	return append(ids, s.CutIDs...)
}

// nextCut names one more cut.
func (s *state) nextCut() string {
	s.Cuts++
	id := newCutID(s.Request.ID, s.Cuts)
	s.CutIDs = append(s.CutIDs, id)
	return id
}

// readState reads a job's state; fs.ErrNotExist when there is none, ErrState when it cannot be read.
func readState(dir string) (*state, error) {
	path := filepath.Join(dir, stateFile)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxStateFile {
		return nil, fmt.Errorf("%w: %s has %d bytes", ErrState, path, info.Size())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &state{}
	if err := json.Unmarshal(lastLine(raw), s); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrState, path, err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("%w: %s: version %d, this node reads %d", ErrState, path, s.Version, stateVersion)
	}
	if s.Request.ID == "" || s.Attempt < 1 || s.Cuts < 0 || len(s.CutIDs) > min(s.Cuts, maxCuts) {
		return nil, fmt.Errorf("%w: %s: %.200s", ErrState, path, raw)
	}
	return s, nil
}

// lastLine is the last line that was written whole; all of a file that has no line, which an older binary wrote.
func lastLine(raw []byte) []byte {
	end := bytes.LastIndexByte(raw, '\n')
	if end < 0 {
		return raw
	}
	return raw[bytes.LastIndexByte(raw[:end], '\n')+1 : end]
}

// notes is the file as this process has written it. A note is a line more: to make a file for each, and to put it in the place
// of the one before, cost a copy of little data a tenth of its processor.
type notes struct{ bytes int } // 0: this process has written none, and what is there may end within a line

// write puts a state behind the others, or in their place.
func (n *notes) write(dir string, s *state, how durability) (err error) {
	line, err := s.line()
	if err != nil {
		return err
	}
	if how == lazily && n.bytes > 0 && n.bytes < maxNotes {
		if err := appendFile(filepath.Join(dir, stateFile), line); err == nil {
			n.bytes += len(line)
			return nil
		}
	}
	if err := replaceState(dir, line, how); err != nil {
		n.bytes = 0
		return err
	}
	n.bytes = len(line)
	return nil
}

func appendFile(path string, line []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.Write(line)
	return errors.Join(err, f.Close())
}

func (s *state) line() ([]byte, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode job state: %w", err)
	}
	return append(raw, '\n'), nil
}

// durability is what a written state outlives.
type durability bool

const (
	lazily  durability = false // the process
	durably durability = true  // the machine's power
)

// replaceState replaces what is on disk.
func replaceState(dir string, raw []byte, how durability) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write job state: %w", err)
	}
	path := filepath.Join(dir, stateFile)
	if err := writeFile(path+".new", raw, how); err != nil {
		return fmt.Errorf("write job state: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write job state: %w", err)
	}
	if how == lazily {
		return nil
	}
	return syncDir(dir)
}

func writeFile(path string, raw []byte, how durability) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(raw); err != nil || how == lazily {
		return err
	}
	return f.Sync()
}

// syncDir makes a rename durable, where the system can.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync() // windows cannot
	return d.Close()
}

// sweep removes a staging folder with all that is in it.
func sweep(dir string) error {
	if err := os.RemoveAll(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove staging: %w", err)
	}
	return nil
}
