package raftgroup

import (
	"context"

	"github.com/flotilla-db/flotilla/storage/raftlog"
)

// ScrubLog reads this replica's log back from disk, from an index on (0: the
// first), at most about maxBytes; next is where to go on, 0 at the end. What is bad
// and in memory still is written anew; the rest takes the way of any bad entry
// (LogDamaged), by itself. ErrClosed for a replica that does not run: opening reads
// its whole log.
func (g *Group) ScrubLog(ctx context.Context, from uint64, maxBytes int64) (next uint64, bytes int64, bad []raftlog.BadRecord, err error) {
	in, err := g.running()
	if err != nil {
		return 0, 0, nil, err
	}
	return in.entries.Scrub(ctx, from, maxBytes)
}
