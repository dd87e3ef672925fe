package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Before an install replaces what is wrong here, the old bytes are kept, with a
// report, for who wants to know what happened:
//
//	groups/<id>/quarantine/20261122T130000.000Z-<job>/report.json
//	                                                 /window-20412-slot-3.leaf
//	                                                 /shard.db
//
// A leaf's file is what View.Evidence writes. Of a file that cannot be read as the
// group's shard, or is of another lineage, the whole is kept, or its beginning. All of it is on disk before the
// install is recorded. It is bounded, oldest first out; and it never stands in the
// way of a repair: what cannot be kept is named in the log, and lost.

// Exhibit says why an install replaces what is there, for the report that is kept
// with the old bytes in groups/<id>/quarantine.
type Exhibit struct {
	Job  string   // its id
	Why  string   // one line
	Good []string // the replicas that it was judged by
	// Leaves are those whose old bytes are kept, beside those that are suspect.
	Leaves []digest.Leaf
}

const (
	// maxExhibits and maxExhibitBytes bound what is kept of a group.
	maxExhibits     = 16
	maxExhibitBytes = 64 << 20
	// exhibitTime bounds how long an install waits for it.
	exhibitTime = 20 * time.Second
)

var errExhibitFull = errors.New("no more is kept of one install")

// QuarantineDir is where the old bytes of what was repaired are kept, one folder a
// repair, named so that they sort by time. It need not exist.
func (g *Group) QuarantineDir() string { return g.host.quarantineDir(g.id) }

func (h *Host) quarantineDir(group uint32) string {
	return filepath.Join(filepath.Dir(h.shardPath(group)), "quarantine")
}

// exhibit keeps what the install is about to replace, if anything is held against
// it. The caller holds opening.
func (h *Hold) exhibit(ctx context.Context, i *Installation) {
	g := h.group
	why, err := g.host.quarantined(g.id)
	if why == "" && err == nil {
		why = h.unfit(i.Lineage)
	}
	held := g.heldAgainst()
	if i.Exhibit == nil && held.wrong == nil && why == "" && err == nil {
		return
	}
	r := newReport(g, i, held, why)
	ctx, cancel := context.WithTimeout(ctx, exhibitTime)
	defer cancel()
	dir := g.QuarantineDir()
	log := g.host.config.Logger.With("group", g.id, "job", r.Job)
	if name, kept := r.keptIn(dir, h.keepsFile(i.Lineage)); kept {
		log.Info("what the repair replaces was kept before the job was cut short", "in", filepath.Join(dir, name))
		return
	}
	name, err := h.keep(ctx, dir, &r, h.keepsFile(i.Lineage))
	if err == nil {
		log.Info("what the repair replaces is kept", "in", filepath.Join(dir, name), "leaves", len(r.Leaves), "file", r.File)
	} else {
		log.Error("what the repair replaces is not kept", "error", err)
	}
	if err := pruneExhibits(dir); err != nil {
		log.Warn("quarantine folder is not trimmed", "error", err)
	}
}

// unfit says why the file that lies at the replica's place is not its shard: it is
// damaged, or another's. "" where it is the shard, or where nothing lies.
func (h *Hold) unfit(lineage string) string {
	g := h.group
	info, err := os.Stat(g.host.shardPath(g.id))
	if err != nil || info.Size() == 0 || g.Running() || !h.keepsFile(lineage) {
		return ""
	}
	_, why := g.condition()
	return why
}

// keepsFile reports whether the file is kept as a whole: nothing in it can be read as
// a leaf of the lineage.
func (h *Hold) keepsFile(lineage string) bool {
	return h.view == nil || h.base != nil && h.lineage != lineage
}

// keep writes the folder of an install under a name that says that it is not
// complete, and then gives it its own.
func (h *Hold) keep(ctx context.Context, dir string, r *exhibitReport, file bool) (name string, err error) {
	name = r.folder()
	partial := filepath.Join(dir, partialExhibit+name)
	if err := os.MkdirAll(partial, 0o750); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(partial))
		}
	}()
	k := &keeper{dir: partial, left: maxExhibitBytes, over: ctx.Err}
	if h.group.host.noSpace.Load() {
		k.left = 0 // the disk is needed for the repair: the report alone
	}
	h.keepBytes(k, r, file)
	b, err := r.encode()
	if err != nil {
		return "", err
	}
	if err := writeSynced(filepath.Join(partial, reportName), b); err != nil {
		return "", err
	}
	if err := syncDir(partial); err != nil {
		return "", err
	}
	if err := os.Rename(partial, filepath.Join(dir, name)); err != nil {
		return "", err
	}
	return name, errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

// keepBytes keeps each leaf that can be read as such, or the file. What fails is told
// in the report.
func (h *Hold) keepBytes(k *keeper, r *exhibitReport, file bool) {
	if file {
		r.FileBytes, r.File, r.FileError = k.keepFile(h.group.host.shardPath(h.group.id), r.InPlace)
		return
	}
	for n := range r.Leaves {
		l := &r.Leaves[n]
		leaf := digest.Leaf{Window: l.Window, Slot: l.Slot}
		name := fmt.Sprintf("window-%d-slot-%d.leaf", l.Window, l.Slot)
		bytes, err := k.keepStream(name, func(w io.Writer) error {
			_, err := h.view.Evidence(leaf, w)
			return err
		})
		if l.Bytes = bytes; bytes > 0 {
			l.File = name
		}
		if err != nil {
			l.Error = oneLine(err.Error())
		}
	}
}

// keeper writes into one folder, up to a bound.
type keeper struct {
	dir  string
	left int64
	over func() error // why no more may be written
}

// keepStream writes what write gives, or its beginning.
func (k *keeper) keepStream(name string, write func(io.Writer) error) (int64, error) {
	if err := k.over(); err != nil { // thousands of leaves would each cost a sync yet
		return 0, err
	}
	if k.left <= 0 {
		return 0, errExhibitFull
	}
	path := filepath.Join(k.dir, name)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return 0, err
	}
	w := &boundedWriter{k: k, to: f}
	err = write(w)
	err = errors.Join(err, f.Sync(), f.Close())
	if w.n == 0 {
		err = errors.Join(err, os.Remove(path))
	}
	return w.n, err
}

// keepFile keeps a file under a second name where all of it may stay, else a copy
// of its beginning; a copy of all of it where it will be written to.
func (k *keeper) keepFile(path string, written bool) (bytes int64, name, failed string) {
	name = filepath.Base(path)
	info, err := os.Stat(path)
	if err != nil {
		return 0, "", oneLine(err.Error())
	}
	if !written && info.Size() <= k.left && os.Link(path, filepath.Join(k.dir, name)) == nil {
		k.left -= info.Size()
		return info.Size(), name, ""
	}
	bytes, err = k.keepStream(name, func(w io.Writer) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(w, f)
		return err
	})
	if err != nil {
		failed = oneLine(err.Error())
	}
	if bytes == 0 {
		name = ""
	}
	return bytes, name, failed
}

type boundedWriter struct {
	k  *keeper
	to io.Writer
	n  int64
}

func (w *boundedWriter) Write(b []byte) (int, error) {
	if err := w.k.over(); err != nil {
		return 0, err
	}
	whole := len(b)
	b = b[:min(int64(whole), w.k.left)]
	n, err := w.to.Write(b)
	w.n, w.k.left = w.n+int64(n), w.k.left-int64(n)
	if err == nil && n < whole {
		err = errExhibitFull
	}
	return n, err
}

// pruneExhibits removes what is not complete, and the oldest folders beyond the
// bounds. The newest stays.
func pruneExhibits(dir string) error {
	folders, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	slices.SortFunc(folders, func(a, b os.DirEntry) int { return strings.Compare(b.Name(), a.Name()) })
	kept, bytes, full := 0, int64(0), false
	var errs []error
	for _, f := range folders {
		path := filepath.Join(dir, f.Name())
		size := folderBytes(path)
		whole := !isPartial(f.Name())
		full = full || whole && kept > 0 && (kept >= maxExhibits || bytes+size > maxExhibitBytes)
		if full || !whole {
			errs = append(errs, os.RemoveAll(path))
			continue
		}
		kept, bytes = kept+1, bytes+size
	}
	return errors.Join(errs...)
}
