package gateway

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// How long finished jobs are kept, and the bound of all.
const (
	keepJobsFor  = 24 * time.Hour
	keepJobs     = 2000
	maxJobs      = 20_000
	maxJobLine   = 16 << 20
	jobReadSize  = 64 << 10
	rewriteAfter = 8 << 20 // bytes appended since the file was last written whole
)

// jobLine is a job on the file.
type jobLine struct {
	api.Job
	Note json.RawMessage `json:"note,omitempty"` // of whoever drives it, until it has ended
}

// jobFile keeps jobs over restarts: one JSON object a line, the last line of
// an id counts. It is a record for people: a line that a crash cut short is
// dropped, and appends are not fsynced.
type jobFile struct {
	path  string
	f     *os.File
	grown int64
}

// openJobFile reads what is kept and opens the file for appending.
func openJobFile(path string) (*jobFile, []jobLine, error) {
	jobs := map[string]jobLine{}
	var order []string
	old, err := os.Open(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("open jobs: %w", err)
	}
	if err == nil {
		err := eachLine(old, func(line []byte) {
			var j jobLine
			if json.Unmarshal(line, &j) != nil || j.ID == "" {
				return
			}
			if _, known := jobs[j.ID]; !known {
				order = append(order, j.ID)
			}
			jobs[j.ID] = j
		})
		if err := errors.Join(err, old.Close()); err != nil {
			return nil, nil, fmt.Errorf("read jobs: %w", err)
		}
	}
	list := make([]jobLine, 0, len(order))
	for _, id := range order {
		list = append(list, jobs[id])
	}
	jf := &jobFile{path: path}
	return jf, list, nil
}

// eachLine gives the lines of a file. One longer than maxJobLine is passed over:
// a record for people must not keep a node from its start.
func eachLine(file io.Reader, do func(line []byte)) error {
	var line []byte
	long := false
	for r := bufio.NewReaderSize(file, jobReadSize); ; {
		piece, err := r.ReadSlice('\n')
		if long = long || len(line)+len(piece) > maxJobLine; !long {
			line = append(line, piece...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return err
		}
		if !long && len(line) > 0 {
			do(line)
		}
		if err != nil {
			return nil
		}
		line, long = line[:0], false
	}
}

// rewrite replaces the file by these jobs.
func (jf *jobFile) rewrite(jobs []jobLine) error {
	var b bytes.Buffer
	for i := range jobs {
		line, err := json.Marshal(&jobs[i])
		if err != nil {
			return fmt.Errorf("write jobs: %w", err)
		}
		b.Write(line)
		b.WriteByte('\n')
	}
	tmp := jf.path + ".tmp"
	if err := os.WriteFile(tmp, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write jobs: %w", err)
	}
	if err := jf.close(); err != nil { // before the rename: Windows does not replace open files
		return err
	}
	if err := os.Rename(tmp, jf.path); err != nil {
		return fmt.Errorf("write jobs: %w", err)
	}
	f, err := os.OpenFile(jf.path, os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write jobs: %w", err)
	}
	jf.f, jf.grown = f, 0
	return nil
}

// append adds the state of a job; it reports whether the file should be
// written whole.
func (jf *jobFile) append(j jobLine) (full bool, err error) {
	line, err := json.Marshal(j)
	if err != nil {
		return false, fmt.Errorf("write job %s: %w", j.ID, err)
	}
	n, err := jf.f.Write(append(line, '\n'))
	if err != nil {
		return false, fmt.Errorf("write job %s: %w", j.ID, err)
	}
	jf.grown += int64(n)
	return jf.grown > rewriteAfter, nil
}

// sync brings what was appended to disk.
func (jf *jobFile) sync() error {
	if err := jf.f.Sync(); err != nil {
		return fmt.Errorf("write jobs: %w", err)
	}
	return nil
}

func (jf *jobFile) close() error {
	if jf.f == nil {
		return nil
	}
	err := jf.f.Close()
	jf.f = nil
	return err
}

// retained gives the jobs to keep at a moment, oldest first: what runs, what
// ended within keepJobsFor, and the keepJobs youngest; maxJobs in all.
func retained(jobs []api.Job, now time.Time) []api.Job {
	slices.SortStableFunc(jobs, func(a, b api.Job) int { return a.StartedAt.Compare(b.StartedAt.Time) })
	out := make([]api.Job, 0, len(jobs))
	for i, j := range jobs {
		fromEnd := len(jobs) - i
		young := now.Sub(j.FinishedAt.Time) < keepJobsFor && fromEnd <= maxJobs
		if !j.Final() || young || fromEnd <= keepJobs {
			out = append(out, j)
		}
	}
	return out
}
