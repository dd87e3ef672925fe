package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/flotilla-db/flotilla/storage/raftlog"
)

// A replica that was moved away leaves its data behind, but not its vote record:
// what it promised under its id it has promised for good. Its log is given a
// higher generation than the record's, so that a replica which comes back here
// is a new server, whatever else a crash has left.

// removedFile marks a group's folder whose replica was removed: a start does not
// open it until it is assigned to this node again.
const removedFile = "removed"

// termOfVotes is the lowest term in which anybody votes.
const termOfVotes = 2

func (h *Host) removedPath(group uint32) string {
	return filepath.Join(filepath.Dir(h.shardPath(group)), removedFile)
}

// removed reports whether the group's replica was removed, and not opened since.
func (h *Host) removed(group uint32) bool {
	_, err := os.Stat(h.removedPath(group))
	return err == nil
}

func (h *Host) unremove(group uint32) {
	if err := os.Remove(h.removedPath(group)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.config.Logger.Warn("the mark of a replica that was removed stays: it opens later after a start", "group", group, "error", err)
	}
}

// Remove closes a replica and removes its data. Once it is stopped, and can
// vote and be proven no more, still is asked whether nobody counts on it; after
// an error of it the replica starts again. ErrHeld while it waits for an install.
func (h *Host) Remove(ctx context.Context, id uint32, still func(context.Context) error) error {
	g, ok := h.Group(id)
	if !ok {
		return nil
	}
	if err := g.opening.lock(ctx); err != nil {
		return fmt.Errorf("remove group %d: %w", id, err)
	}
	defer g.opening.Unlock()
	switch {
	case g.currentHold() != nil:
		return fmt.Errorf("remove group %d: %w", id, ErrHeld)
	case h.closing():
		return fmt.Errorf("remove group %d: %w", id, ErrClosed)
	}
	err := g.stop(ReplicaSyncing, "is being removed")
	if err == nil {
		err = still(ctx)
	}
	if err != nil {
		return fmt.Errorf("remove group %d: %w", id, errors.Join(err, g.start(g.wanted, nil)))
	}
	if err := g.erase(); err != nil {
		return fmt.Errorf("remove group %d: %w", id, err)
	}
	h.mu.Lock()
	delete(h.groups, id)
	h.mu.Unlock()
	h.config.Logger.Info("replica was removed", "group", id, "server", g.self)
	return nil
}

// erase removes what belongs to the replica. A crash in between is no harm: the
// mark comes first, and then what makes the next one another server.
func (g *Group) erase() error {
	dir := filepath.Dir(g.host.shardPath(g.id))
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	mark := writeSynced(g.host.removedPath(g.id), []byte(g.Self().String()+"\n"))
	if err := errors.Join(mark, syncDir(dir)); err != nil {
		return err
	}
	record, present, err := g.host.config.Votes.Record(g.id)
	if err != nil && !errors.Is(err, raftlog.ErrVoteUnreadable) {
		return err
	}
	generation := g.Self().Generation
	if present && err == nil {
		generation = max(generation, record.Generation)
		if record.CurrentTerm < termOfVotes { // else it looks like a birth that was cut short
			record.CurrentTerm = termOfVotes
			if err := g.host.config.Votes.Put(record); err != nil {
				return err
			}
		}
	}
	entries, err := g.host.config.Engine.Open(g.id)
	if err != nil {
		return err
	}
	if err := errors.Join(entries.Reset(1, generation+1), entries.Close()); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if f.Name() != removedFile {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, f.Name())))
		}
	}
	return err
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}
