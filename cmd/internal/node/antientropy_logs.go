package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

const (
	// logScrubBytes is how much of a log one step reads.
	logScrubBytes = 4 << 20
	// votesFresh is how old a reading of the votes may be that a deep check goes by:
	// they are of all groups, and one of all groups does not read them once for each.
	// What goes bad within it after a check is found by the next.
	votesFresh = time.Second
)

// logScrubs re-reads what the node's log and votes hold of groups, for deep
// checks.
type logScrubs struct {
	node *Node

	turn chan struct{} // holds a token while the votes are read
	at   time.Time     // of whose turn it is: when the last reading of the votes began
	bad  []badRecord   // of whose turn it is: of the votes
}

func newLogScrubs(n *Node) *logScrubs { return &logScrubs{node: n, turn: make(chan struct{}, 1)} }

type badRecord struct {
	raftlog.BadRecord
	votes bool
}

// of gives what is wrong with what the log and the votes hold of a group.
func (l *logScrubs) of(ctx context.Context, g *raftgroup.Group) ([]antientropy.LogDamage, error) {
	bad, err := l.votes(ctx)
	if err != nil {
		return nil, err
	}
	for from := uint64(0); ; {
		next, bytes, found, err := g.ScrubLog(ctx, from, logScrubBytes)
		if err != nil {
			return nil, fmt.Errorf("re-read the log of group %d: %w", g.ID(), err)
		}
		bad = append(bad, l.note(found, false)...)
		if err := l.node.examiner.pace.wait(ctx, int(bytes)); err != nil {
			return nil, err
		}
		if from = next; from == 0 {
			break
		}
	}
	var out []antientropy.LogDamage
	for _, b := range bad {
		// What names no group is about all.
		if !b.Harmless && (b.Group == g.ID() || b.Group == 0 && b.Index == 0) {
			out = append(out, antientropy.LogDamage{Votes: b.votes, Repaired: b.Mended, Why: describeRecord(b)})
		}
	}
	return out, nil
}

// votes re-reads the votes, unless that was done just now.
func (l *logScrubs) votes(ctx context.Context) ([]badRecord, error) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if !l.at.IsZero() && time.Since(l.at) < votesFresh {
		return slices.Clone(l.bad), nil
	}
	began := time.Now()
	bytes, found, err := l.node.votes.Scrub(ctx)
	if err != nil {
		return nil, fmt.Errorf("re-read the votes: %w", err)
	}
	l.at, l.bad = began, l.note(found, true)
	return slices.Clone(l.bad), l.node.examiner.pace.wait(ctx, int(bytes))
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
