package checking

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage/raftlog"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// logScrubBytes is how much of a log one step reads.
const logScrubBytes = 4 << 20

// Logs re-reads what the node's log and votes hold of groups, for deep
// checks.
type Logs struct {
	config *Config
	pace   *Pace
	votes  recentScrub
	frames recentScrub  // of the log: what is of no group alone
	read   atomic.Int64 // bytes that no deep check has counted as its own yet
}

func newLogs(c *Config, pace *Pace) *Logs {
	return &Logs{config: c, pace: pace, votes: newRecentScrub(), frames: newRecentScrub()}
}

// wait counts bytes that were read, and keeps to the rate.
func (l *Logs) wait(ctx context.Context, bytes int64) error {
	l.read.Add(bytes)
	return l.pace.Wait(ctx, int(bytes))
}

// Taken is what was read since it was asked last: the rate that is set is that of
// all that is read, and so is what a check says that it has read.
func (l *Logs) Taken() int64 { return l.read.Swap(0) }

type badRecord struct {
	raftlog.BadRecord
	votes bool
}

// Of gives what is wrong with what the log and the votes hold of a group. What is
// read for all groups is counted by the check of one, see Taken.
func (l *Logs) Of(ctx context.Context, g *raftgroup.Group) ([]antientropy.LogDamage, error) {
	bad, err := l.votes.last(ctx, l.readVotes)
	if err != nil {
		return nil, fmt.Errorf("re-read the votes: %w", err)
	}
	frames, err := l.frames.last(ctx, l.readFrames)
	if err != nil {
		return nil, fmt.Errorf("re-read the log: %w", err)
	}
	bad = append(bad, frames...)
	for from := uint64(0); ; {
		next, bytes, found, err := g.ScrubLog(ctx, from, logScrubBytes)
		if err != nil {
			return nil, fmt.Errorf("re-read the log of group %d: %w", g.ID(), err)
		}
		bad = append(bad, l.note(found, false)...)
		if err := l.wait(ctx, bytes); err != nil {
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

// readVotes re-reads the votes.
func (l *Logs) readVotes(ctx context.Context) ([]badRecord, error) {
	bytes, found, err := l.config.Votes.Scrub(ctx)
	if err != nil {
		return nil, err
	}
	return l.note(found, true), l.wait(ctx, bytes)
}

// readFrames re-reads what the groups' own parts of the log lie in.
func (l *Logs) readFrames(ctx context.Context) (bad []badRecord, err error) {
	for cursor := ""; ; {
		next, bytes, found, err := l.config.Log.ScrubFrames(ctx, cursor, logScrubBytes)
		bad = append(bad, l.note(found, false)...)
		if err == nil {
			err = l.wait(ctx, bytes)
		}
		if cursor = next; err != nil || cursor == "" {
			return bad, err
		}
	}
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
func (l *Logs) note(found []raftlog.BadRecord, votes bool) []badRecord {
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
		l.config.Logger.Error("a record of the log cannot be read back", "group", f.Group, "index", f.Index, "where", f.Where, "reason", f.Reason, "votes", votes, "then", state)
		l.config.Checks.Note(api.EventFinding, group, "", "%s (%s)", describeRecord(b), state)
	}
	return out
}
