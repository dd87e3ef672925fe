package raftgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/flotilla-db/flotilla/storage"
)

// A shard whose structure went bad while it ran has a mark beside it, a file
// with one line: since when, and why. It keeps the replica out of service over
// restarts: the same file may open without a complaint. The mark goes with the
// shard: one that is left alone, because the file was taken away, says nothing
// of the file that is built next.

// maxMark bounds what is read of a mark.
const maxMark = 4096

func (h *Host) markPath(group uint32) string { return h.shardPath(group) + ".quarantined" }

// markQuarantined makes the mark durable, but for the directory's entry: a
// crash of the machine may forget it, and the damage is found again.
func (h *Host) markQuarantined(group uint32, cause error) (err error) {
	f, err := os.OpenFile(h.markPath(group), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return fmt.Errorf("mark quarantine of group %d: %w", group, err)
	}
	line := strings.Join(strings.Fields(cause.Error()), " ")
	_, err = fmt.Fprintf(f, "%s %s\n", time.Now().UTC().Format(time.RFC3339), line[:min(len(line), maxMark/2)])
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("mark quarantine of group %d: %w", group, err)
	}
	return nil
}

// quarantined gives the line of the mark, "" if there is none.
func (h *Host) quarantined(group uint32) (why string, err error) {
	b, err := os.ReadFile(h.markPath(group))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read quarantine of group %d: %w", group, err)
	}
	return "in quarantine since " + strings.TrimSpace(string(b[:min(len(b), maxMark)])), nil
}

// unmark removes a mark whose shard is gone.
func (h *Host) unmark(group uint32) error {
	if err := os.Remove(h.markPath(group)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("end quarantine of group %d: %w", group, err)
	}
	return nil
}

// damageWhy says that a shard is damaged, or is another's, once.
func damageWhy(cause string) string {
	if at := strings.Index(cause, storage.ErrIdentity.Error()); at >= 0 {
		return cause[at:]
	}
	what := storage.ErrDamaged.Error() + ": "
	if _, behind, said := strings.Cut(cause, what); said {
		cause = behind
	}
	return what + cause
}

// quarantine takes the replica out of service until its shard is replaced: the
// next start would only open the same file. The caller holds opening.
func (g *Group) quarantine(cause error) {
	log := g.host.config.Logger.With("group", g.id)
	log.Error("replica goes to quarantine", "error", cause)
	if err := g.host.markQuarantined(g.id, cause); err != nil {
		log.Error("quarantine does not outlive this process", "error", err)
	}
	if err := g.stop(ReplicaQuarantined, damageWhy(cause.Error())); err != nil {
		log.Error("damaged replica did not close cleanly", "error", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.decided = true
}
