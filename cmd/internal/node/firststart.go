package node

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/flotilla-db/flotilla/cmd/internal/node/syncing"
)

// firstStart remembers what a data directory held before its first start, so
// that a start which is refused can be taken back: the operator then corrects
// one flag and starts again, as another node if need be. That is so only until
// others may count on this incarnation.
type firstStart struct {
	dir    string
	absent bool            // the directory itself was made
	before map[string]bool // entries that are not ours
}

// noteFirstStart is called before anything is written; nil for a directory that
// has an identity.
func noteFirstStart(dir string) *firstStart {
	f := &firstStart{dir: dir, before: map[string]bool{}}
	entries, err := os.ReadDir(dir)
	f.absent = errors.Is(err, fs.ErrNotExist)
	for _, e := range entries {
		if e.Name() == identityFile {
			return nil
		}
		f.before[e.Name()] = true
	}
	return f
}

// undo removes what a start makes. The lock is held, and its file goes last.
func (f *firstStart) undo() error {
	made := []string{identityFile, votesFile, logDir, metaDir, groupsDir, jobsFile, syncing.RatesFile}
	unfinished, err := filepath.Glob(filepath.Join(f.dir, identityFile+".tmp-*"))
	errs := []error{err}
	for _, path := range unfinished {
		made = append(made, filepath.Base(path))
	}
	for _, name := range append(made, lockFile) {
		if !f.before[name] {
			errs = append(errs, os.RemoveAll(filepath.Join(f.dir, name)))
		}
	}
	if f.absent {
		_ = os.Remove(f.dir) // it stays if somebody has put something there meanwhile
	}
	return errors.Join(errs...)
}

// takeBack undoes the first start of a node that was refused, unless others may
// count on this incarnation: it has founded a cluster, promised to, asked to be
// taken in, or was seen by nodes that may have promised to make one with it.
func (n *Node) takeBack() error {
	if n.first == nil || !n.refused.Load() || n.asked.Load() || n.cfg.BootstrapExpect > 1 && n.gossip != nil {
		return nil
	}
	if n.identity != nil {
		if id := n.identity.get(); id.Founder || id.Joined || len(id.Promised) > 0 {
			return nil
		}
	}
	return n.first.undo()
}
