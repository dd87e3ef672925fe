package raftgroup

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

const (
	exhibitFormat = 1
	// exhibitTimes are the times in folder names: they sort as the folders do.
	exhibitTimes = "20060102T150405.000Z"
	// partialExhibit begins the name of a folder that is not complete.
	partialExhibit = "partial-"
	maxJobInName   = 48
	reportName     = "report.json"
	// maxReportBytes bounds what is read of a report.
	maxReportBytes = 4 << 20
)

// exhibitReport is report.json of a folder in quarantine.
type exhibitReport struct {
	Format  int       `json:"format"`
	At      time.Time `json:"at"`
	Group   uint32    `json:"group"`
	Server  string    `json:"server"`
	Lineage string    `json:"lineage"`
	Job     string    `json:"job"`
	Why     string    `json:"why"`
	Since   time.Time `json:"suspect_since,omitzero"`
	Good    []string  `json:"judged_by,omitempty"`
	Cut     struct {
		Index uint64 `json:"index"`
		Term  uint64 `json:"term"`
	} `json:"replaced_by_cut"`
	InPlace bool          `json:"in_place"`
	Leaves  []exhibitLeaf `json:"leaves,omitempty"`

	// Of a shard that could not be read as one:
	File      string `json:"file,omitempty"`
	FileBytes int64  `json:"file_bytes,omitempty"`
	FileError string `json:"file_error,omitempty"`
}

type exhibitLeaf struct {
	Window int64  `json:"window"`
	Slot   uint8  `json:"slot"`
	File   string `json:"file,omitempty"`
	Bytes  int64  `json:"bytes"`
	Error  string `json:"error,omitempty"` // why not all of it is here
}

// newReport says what is about to be replaced. quarantined is the line of the
// mark, "" where there is none.
func newReport(g *Group, i *Installation, held suspicions, quarantined string) exhibitReport {
	r := exhibitReport{
		Format: exhibitFormat, At: time.Now().UTC(), Group: g.id, Server: g.Self().String(), Lineage: i.Lineage,
		Job: g.holder(), InPlace: i.InPlace,
	}
	r.Cut.Index, r.Cut.Term = i.Cut.Index, i.Cut.Term
	leaves := slices.Clone(held.wrongLeaves())
	if held.wrong != nil {
		r.Why, r.Since = held.wrong.Why, held.wrong.Since
	}
	if e := i.Exhibit; e != nil {
		r.Good, leaves = e.Good, append(leaves, e.Leaves...)
		if e.Job != "" {
			r.Job = e.Job
		}
		if e.Why != "" {
			r.Why = e.Why
		}
	}
	if quarantined != "" {
		r.Why = quarantined
	}
	slices.SortFunc(leaves, digest.Leaf.Compare)
	for _, l := range slices.Compact(leaves) {
		r.Leaves = append(r.Leaves, exhibitLeaf{Window: l.Window, Slot: l.Slot})
	}
	return r
}

// holder is the owner of the hold, "" if there is none.
func (g *Group) holder() string {
	if h := g.currentHold(); h != nil {
		return h.owner
	}
	return ""
}

// folder is the name of the report's folder.
func (r *exhibitReport) folder() string {
	job := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			return c
		}
		return '_'
	}, r.Job)
	return r.At.Format(exhibitTimes) + "-" + job[:min(len(job), maxJobInName)]
}

// keptIn finds the folder in which an earlier install of the same job, one that a crash
// cut short, has kept all of this: what lies there now may be the copy already. file:
// the file as a whole is meant.
func (r *exhibitReport) keptIn(dir string, file bool) (name string, kept bool) {
	folders, err := os.ReadDir(dir)
	if err != nil || r.Job == "" {
		return "", false
	}
	_, job, _ := strings.Cut(r.folder(), "Z-")
	for _, f := range folders {
		if isPartial(f.Name()) || !strings.HasSuffix(f.Name(), "Z-"+job) {
			continue
		}
		was, err := readReport(filepath.Join(dir, f.Name(), reportName))
		if err == nil && was.Job == r.Job && was.covers(r, file) {
			return f.Name(), true
		}
	}
	return "", false
}

// covers reports whether what another report is about is kept under this one.
func (r *exhibitReport) covers(other *exhibitReport, file bool) bool {
	if file {
		return r.File != ""
	}
	has := make(map[digest.Leaf]bool, len(r.Leaves))
	for _, l := range r.Leaves {
		has[digest.Leaf{Window: l.Window, Slot: l.Slot}] = l.Error == ""
	}
	return !slices.ContainsFunc(other.Leaves, func(l exhibitLeaf) bool { return !has[digest.Leaf{Window: l.Window, Slot: l.Slot}] })
}

func readReport(path string) (*exhibitReport, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := new(exhibitReport)
	return r, json.NewDecoder(io.LimitReader(f, maxReportBytes)).Decode(r)
}

func (r *exhibitReport) encode() ([]byte, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	return append(b, '\n'), err
}

func isPartial(name string) bool { return strings.HasPrefix(name, partialExhibit) }

// folderBytes is the size of the files in a folder, as far as they can be seen.
func folderBytes(dir string) (n int64) {
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if info, err := os.Stat(filepath.Join(dir, f.Name())); err == nil {
			n += info.Size()
		}
	}
	return n
}
