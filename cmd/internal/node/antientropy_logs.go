package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

const (
	// logScrubBytes is how much of the log one step reads.
	logScrubBytes = 4 << 20
	// logScrubFresh is how old a reading of the whole log may be that a deep check
	// of one group goes by: one of all groups does not read it once for each.
	logScrubFresh = 30 * time.Second
	// maxBadRecords bounds what is remembered of one reading.
	maxBadRecords = 1024
)

// logScrubs re-reads the node's log and votes for deep checks: the log is of all
// groups, so one reading serves those that ask at about the same time.
type logScrubs struct {
	node *Node

	mu  sync.Mutex // held while the log is read
	at  time.Time  // when the last reading began
	bad []badRecord
}

type badRecord struct {
	raftlog.BadRecord
	votes bool
}

// of gives what is wrong with what the log and the votes hold of a group.
func (l *logScrubs) of(ctx context.Context, group uint32) ([]antientropy.LogDamage, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.at.IsZero() || time.Since(l.at) > logScrubFresh {
		if err := l.read(ctx); err != nil {
			return nil, err
		}
	}
	var out []antientropy.LogDamage
	for _, b := range l.bad {
		if b.Harmless || b.Group != group && b.Index != 0 || b.Index == 0 && b.Group != 0 && b.Group != group {
			continue
		}
		out = append(out, antientropy.LogDamage{Votes: b.votes, Repaired: b.Mended, Why: describeRecord(b)})
	}
	return out, nil
}

func describeRecord(b badRecord) string {
	what := "log"
	if b.votes {
		what = "votes"
	}
	if b.Index > 0 {
		what += fmt.Sprintf(" entry %d of group %d", b.Index, b.Group)
	}
	return what + " at " + b.Where + ": " + b.Reason
}

// read reads all of it. The caller holds the lock.
func (l *logScrubs) read(ctx context.Context) error {
	began := time.Now()
	var bad []badRecord
	for cursor := ""; ; {
		next, found, err := l.step(ctx, cursor)
		if err != nil {
			return fmt.Errorf("re-read the log: %w", err)
		}
		bad = append(bad, found...)
		if cursor = next; cursor == "" {
			break
		}
	}
	found, err := l.votes(ctx)
	if err != nil {
		return fmt.Errorf("re-read the votes: %w", err)
	}
	bad = append(bad, found...)
	l.at, l.bad = began, bad[:min(len(bad), maxBadRecords)]
	return nil
}

func (l *logScrubs) step(ctx context.Context, cursor string) (next string, bad []badRecord, err error) {
	next, bytes, found, err := l.node.engine.Scrub(ctx, cursor, logScrubBytes)
	if err != nil {
		return cursor, nil, err
	}
	return next, l.note(found, false), l.node.examiner.pace.wait(ctx, int(bytes))
}

func (l *logScrubs) votes(ctx context.Context) ([]badRecord, error) {
	bytes, found, err := l.node.votes.Scrub(ctx)
	if err != nil {
		return nil, err
	}
	return l.note(found, true), l.node.examiner.pace.wait(ctx, int(bytes))
}

// note tells of bad records.
func (l *logScrubs) note(found []raftlog.BadRecord, votes bool) []badRecord {
	out := make([]badRecord, 0, len(found))
	for _, f := range found {
		b := badRecord{f, votes}
		out = append(out, b)
		var group *uint32
		if f.Index > 0 || f.Group > 0 {
			group = &f.Group
		}
		state := "its group starts again"
		switch {
		case f.Harmless:
			state = "harmless"
		case f.Mended:
			state = "mended"
		}
		l.node.log.Error("a record of the log cannot be read back", "group", f.Group, "index", f.Index, "where", f.Where, "reason", f.Reason, "votes", votes, "then", state)
		l.node.gateway.Note(api.EventFinding, group, "", "%s (%s)", describeRecord(b), state)
	}
	return out
}
