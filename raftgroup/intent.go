package raftgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/raftlog"
)

// errAbandoned: an install that was begun cannot be finished, and the old shard
// is as it was.
var errAbandoned = errors.New("install is given up")

func (h *Host) intentPath(group uint32) string {
	return filepath.Join(filepath.Dir(h.shardPath(group)), "install")
}

// writeIntent makes the record of an install durable.
func (h *Host) writeIntent(group uint32, n intent) (err error) {
	path := h.intentPath(group)
	next := path + ".new"
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return fmt.Errorf("record install: %w", err)
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return fmt.Errorf("record install: %w", err)
	}
	_, err = f.Write(n.append(nil))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("record install: %w", errors.Join(err, os.Remove(next)))
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("record install: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func (h *Host) removeIntent(group uint32) error {
	path := h.intentPath(group)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("end record of install: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// finishInstall finishes what an earlier process, or this one, has begun. True
// where there was something.
func (h *Host) finishInstall(group uint32, entries raftlog.Log) (bool, error) {
	b, err := os.ReadFile(h.intentPath(group))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("install of group %d: %w", group, err)
	}
	n, err := parseIntent(b[:min(len(b), maxIntentBytes)])
	if err != nil {
		return false, fmt.Errorf("install of group %d: %w", group, err)
	}
	switch err := h.carryOut(group, n, entries, nil); {
	case errors.Is(err, errAbandoned):
		h.config.Logger.Warn("install was begun and cannot be finished: the old shard stays", "group", group, "error", err)
		return false, nil
	case err != nil:
		return false, fmt.Errorf("install of group %d: %w", group, err)
	}
	h.config.Logger.Info("install was begun before the start and is finished", "group", group, "index", n.Cut.Index)
	return true, nil
}

// carryOut does what an intent says, or what is left of it. The stage is nil
// after a restart. errAbandoned: nothing was changed, and the intent is gone.
func (h *Host) carryOut(group uint32, n intent, entries raftlog.Log, stage *storage.Stage) error {
	if err := h.switchShard(group, n, stage); err != nil {
		if !h.switched(group, n) {
			// With the intent in place nothing may run: a later start would finish the
			// install, and drop what was acked since.
			if left := h.removeIntent(group); left != nil {
				return errors.Join(err, left)
			}
			return fmt.Errorf("%w: %w", errAbandoned, err)
		}
		// It is there all the same: an earlier try has switched.
	}
	if !n.InPlace {
		if err := h.forgetUnreadable(group); err != nil {
			return err
		}
	}
	if err := h.unmark(group); err != nil {
		return err
	}
	if err := h.step(group, stepSwitched); err != nil {
		return err
	}
	// The name, the log and the votes lie in three files, and each waits for the disk. All are done again if one is lost.
	named := make(chan error, 1)
	go func() { named <- syncDir(filepath.Dir(h.shardPath(group))) }()
	err := h.resetLog(group, n, entries)
	if err := errors.Join(err, <-named); err != nil {
		return err
	}
	if err := h.step(group, stepLog); err != nil {
		return err
	}
	if err := h.raiseTerm(group, n, entries.Generation()); err != nil {
		return err
	}
	if err := h.step(group, stepTerm); err != nil {
		return err
	}
	if err := h.removeIntent(group); err != nil {
		return err
	}
	return h.step(group, stepFinished)
}

// switchShard puts the new shard in the place of the old one, in one step, which
// the caller makes durable. It is an error where that is done already, and nothing
// has changed then.
func (h *Host) switchShard(group uint32, n intent, stage *storage.Stage) error {
	staged, path := filepath.Join(h.stagingDir(group), StageFile), h.shardPath(group)
	if n.InPlace {
		return h.applyStage(group, n, stage, staged)
	}
	if stage == nil { // what this process has just sealed is at the cut
		at, err := h.durableAt(staged, h.identity(group, n.Lineage))
		switch {
		case err != nil:
			return fmt.Errorf("staged shard: %w", err)
		case at.Position != n.Cut:
			return fmt.Errorf("staged shard is at %v, the cut at %v", at.Position, n.Cut)
		}
	}
	if err := os.Rename(staged, path); err != nil {
		return fmt.Errorf("switch shard: %w", err)
	}
	return nil
}

// switched reports whether the new shard is in its place. A file at the cut alone
// does not tell: a damaged one may be there as well.
func (h *Host) switched(group uint32, n intent) bool {
	if _, err := os.Stat(filepath.Join(h.stagingDir(group), StageFile)); !n.InPlace && !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	at, err := h.durableAt(h.shardPath(group), h.identity(group, n.Lineage))
	return err == nil && at.Position == n.Cut
}

func (h *Host) applyStage(group uint32, n intent, stage *storage.Stage, staged string) (err error) {
	if stage == nil {
		// A stage that nothing was put into has no file; one that is lost lacks
		// leaves, and says so.
		if err := os.MkdirAll(filepath.Dir(staged), 0o750); err != nil {
			return fmt.Errorf("open stage: %w", err)
		}
		o := h.shardOptions(group, n.Lineage)
		stage, err = storage.OpenStage(storage.StageOptions{
			Path: staged, Identity: o.Identity, Window: o.Window, InitialMmapSize: o.InitialMmapSize, Logger: o.Logger,
		})
		if err != nil {
			return fmt.Errorf("open stage: %w", err)
		}
	}
	err = storage.ApplyStage(h.shardPath(group), stage, h.identity(group, n.Lineage), n.State, n.Manifest)
	return errors.Join(err, stage.Close())
}

// resetLog empties the log behind the cut, if that was decided. Where opening
// would not see any more that something was lost, the log's generation tells.
func (h *Host) resetLog(group uint32, n intent, entries raftlog.Log) error {
	switch n.Log {
	case logReset:
	case logLeft:
		return h.renewLog(group, n, entries)
	default:
		return nil
	}
	last, err := entries.LastIndex()
	if err != nil {
		return fmt.Errorf("last index: %w", err)
	}
	if last == 0 && entries.NextIndex() == n.Cut.Index+1 {
		return nil
	}
	if err := entries.Reset(n.Cut.Index+1, entries.Generation()); err != nil {
		return fmt.Errorf("empty the log: %w", err)
	}
	return nil
}

// renewLog gives a log that has lost something a higher generation than the vote
// record's, unless a bad entry of it, or the record, will say so.
func (h *Host) renewLog(group uint32, n intent, entries raftlog.Log) error {
	if bad, err := lostAbove(entries, n.Cut.Index); bad || err != nil {
		return err
	}
	record, present, err := h.config.Votes.Record(group)
	switch {
	case errors.Is(err, raftlog.ErrVoteUnreadable):
		return nil
	case err != nil:
		return fmt.Errorf("read vote record: %w", err)
	case !present || entries.Generation() > record.Generation:
		return nil
	}
	if err := entries.Reset(n.Cut.Index+1, record.Generation+1); err != nil {
		return fmt.Errorf("begin log of generation %d: %w", record.Generation+1, err)
	}
	return nil
}

// raiseTerm brings the vote record to the cut: the shard is refused at the next
// start if CurrentTerm is below its term. What was voted stays. One who never was
// here before gets a record, or would be taken for one who has forgotten his; one
// who has forgotten gets none, and returns as a new server.
func (h *Host) raiseTerm(group uint32, n intent, generation uint32) error {
	record, present, err := h.config.Votes.Record(group)
	switch {
	case errors.Is(err, raftlog.ErrVoteUnreadable), err == nil && !present && !n.Joiner:
		return nil
	case err != nil:
		return fmt.Errorf("read vote record: %w", err)
	case !present:
		record = raftlog.VoteRecord{Group: group, Generation: generation}
	case record.CurrentTerm >= n.Cut.Term && record.Lineage == n.Lineage:
		return nil
	}
	record.LastVoteCand = slices.Clone(record.LastVoteCand)
	record.Lineage, record.CurrentTerm = n.Lineage, max(record.CurrentTerm, n.Cut.Term)
	if err := h.config.Votes.Put(record); err != nil {
		return fmt.Errorf("raise the term: %w", err)
	}
	return nil
}

// syncDir makes the names in a directory durable, where the system can.
func syncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync directory %s: %w", path, err)
	}
	return nil
}
