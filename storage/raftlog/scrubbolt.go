package raftlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/raft"
)

// Scrub implements Engine: the open logs one after the other, every entry of each. A log that is not open was read
// as a whole when it was, and will be when it is opened.
func (b *Bolt) Scrub(ctx context.Context, cursor string, maxBytes int64) (next string, bytes int64, bad []BadRecord, err error) {
	group, index := parseBoltCursor(cursor)
	logs := b.logs()
	slices.SortFunc(logs, func(a, c *boltLog) int { return int(a.group) - int(c.group) })
	for _, l := range logs {
		if l.group < group {
			continue
		}
		if l.group > group {
			group, index = l.group, 0
		}
		if bytes >= maxBytes {
			return fmt.Sprintf("%d:%d", group, index), bytes, bad, nil
		}
		next, n, found, err := l.Scrub(ctx, index, maxBytes-bytes)
		bytes, bad = bytes+n, append(bad, found...)
		switch {
		case errors.Is(err, ErrClosed):
		case err != nil:
			return fmt.Sprintf("%d:%d", group, next), bytes, bad, fmt.Errorf("scrub log of group %d: %w", group, err)
		case next != 0:
			return fmt.Sprintf("%d:%d", group, next), bytes, bad, nil
		}
	}
	return "", bytes, bad, nil
}

// ScrubFrames implements Engine: each group has a file of its own, and its Scrub reads all that an entry is found by.
func (b *Bolt) ScrubFrames(context.Context, string, int64) (next string, bytes int64, bad []BadRecord, err error) {
	return "", 0, nil, nil
}

// parseBoltCursor gives 0, 0 for what is no cursor.
func parseBoltCursor(cursor string) (group uint32, index uint64) {
	g, i, _ := strings.Cut(cursor, ":")
	id, err := strconv.ParseUint(g, 10, 32)
	if err != nil {
		return 0, 0
	}
	if index, err = strconv.ParseUint(i, 10, 64); err != nil {
		return 0, 0
	}
	return uint32(id), index
}

// Scrub implements Log: the file as a whole, then every entry.
func (l *boltLog) Scrub(ctx context.Context, from uint64, maxBytes int64) (next uint64, bytes int64, bad []BadRecord, err error) {
	if from == 0 {
		if bytes, bad, err = l.scrubFile(); err != nil {
			return 0, bytes, bad, err
		}
	}
	l.mu.RLock()
	first, last := l.first, l.last
	l.mu.RUnlock()
	for i := max(from, first); i != 0 && i <= last; i++ {
		if err := ctx.Err(); err != nil {
			return i, bytes, bad, err
		}
		if bytes >= maxBytes {
			return i, bytes, bad, nil
		}
		var log raft.Log
		var corrupt *CorruptError
		err := l.get(i, &log)
		if errors.As(err, &corrupt) { // or it is being trimmed
			l.writer <- struct{}{}
			if err = l.ready(); err == nil {
				err = l.get(i, &log)
			}
			l.tell(err)
			l.unlock()
		}
		switch {
		case errors.Is(err, raft.ErrLogNotFound): // trimmed meanwhile
		case errors.As(err, &corrupt):
			bad = append(bad, BadRecord{Group: l.group, Index: i, Where: corrupt.Where, Reason: corrupt.Reason})
		case err != nil:
			return i, bytes, bad, err
		}
		bytes += entryBytes(&log)
	}
	return 0, bytes, bad, nil
}

// Scrub implements Log.
func (l *sharedLog) Scrub(ctx context.Context, from uint64, maxBytes int64) (next uint64, bytes int64, bad []BadRecord, err error) {
	l.g.mu.RLock()
	first, last := l.g.index.first(), l.g.index.last()
	l.g.mu.RUnlock()
	for i := max(from, first); i != 0 && i <= last; i++ {
		switch {
		case ctx.Err() != nil:
			return i, bytes, bad, ctx.Err()
		case l.closed.Load():
			return i, bytes, bad, ErrClosed
		case bytes >= maxBytes:
			return i, bytes, bad, nil
		}
		size, err := l.s.check(l.g, i)
		var corrupt *CorruptError
		switch {
		case errors.Is(err, raft.ErrLogNotFound):
		case errors.As(err, &corrupt):
			b := BadRecord{Group: l.g.id, Index: i, Where: corrupt.Where, Reason: corrupt.Reason}
			if seg, off, ok, _ := l.g.place(i); ok {
				b.Mended = l.s.mend(l.g, i, seg, off)
			}
			bad = append(bad, b)
		case err != nil:
			return i, bytes, bad, err
		}
		bytes += int64(size) + maxRecordOverhead
	}
	return 0, bytes, bad, nil
}
