package raftgroup

import (
	"context"
	"errors"
	"fmt"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/hashicorp/raft"
)

// ErrTrimmed: the replica's log does not reach back that far, or not up to there. Ask another replica.
var ErrTrimmed = errors.New("the log does not hold these entries")

// readLogLook is after how many entries a pass over a log looks at its context.
const readLogLook = 256

// ReadLog yields the commands of this replica's log from one index through another, in order: entries that it has
// applied, so that none of them changes any more. Every one is there, and passed its checksum, or the error says why not.
func (g *Group) ReadLog(ctx context.Context, from, through uint64, yield func(storage.Entry) error) error {
	in, err := g.running()
	if err != nil {
		return err
	}
	if applied := in.shard.Applied().Index; applied < through {
		return fmt.Errorf("group %d: %w: applied is %d, not %d", g.id, ErrTrimmed, applied, through)
	}
	for i := from; i <= through; i++ {
		if err := ctx.Err(); i%readLogLook == 0 && err != nil {
			return err
		}
		var entry raft.Log
		switch err := in.entries.GetLog(i, &entry); {
		case errors.Is(err, raft.ErrLogNotFound):
			return fmt.Errorf("group %d: %w: entry %d", g.id, ErrTrimmed, i)
		case err != nil:
			return fmt.Errorf("group %d: entry %d: %w", g.id, i, err)
		case entry.Type != raft.LogCommand:
			continue
		}
		if err := yield(storage.Entry{Index: entry.Index, Term: entry.Term, Data: entry.Data}); err != nil {
			return err
		}
	}
	return nil
}

// LogBegins is the first index of this replica's log.
func (g *Group) LogBegins() (uint64, error) {
	in, err := g.running()
	if err != nil {
		return 0, err
	}
	return in.entries.FirstIndex()
}
