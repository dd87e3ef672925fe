package resyncbench

import (
	"context"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/bench"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap"
)

const (
	// replayEntries are written while the target is away, unless the machine needs longer than replayLimit for them.
	replayEntries = 100_000
	replayLimit   = time.Minute
	replaySpell   = 5 * time.Second // of writing, between two looks at how many there are
	replayCallers = 256
)

// playReplay writes while the target is away, and keeps the log: it is replayed.
func playReplay(ctx context.Context, r *rig, l *ledger) error {
	if err := r.stop(ctx, r.target()); err != nil {
		return err
	}
	if err := r.led(ctx); err != nil {
		return err
	}
	from, err := r.committed(ctx)
	if err != nil {
		return err
	}
	entries := uint64(0)
	for began := time.Now(); entries < replayEntries && time.Since(began) < replayLimit; {
		if err := r.write(ctx); err != nil {
			return err
		}
		to, err := r.committed(ctx)
		if err != nil {
			return err
		}
		entries = to - from
		r.say("%d of %d entries to replay", entries, replayEntries)
	}
	since := time.Now()
	if err := r.target().Start(); err != nil {
		return err
	}
	all, err := r.ended(ctx, since)
	if err != nil {
		return err
	}
	replays := all.of(walgap.Replay.String())
	if len(replays) < len(all) || len(all) == 0 {
		return fmt.Errorf("a short absence with the log kept got %v", all.verdicts())
	}
	l.add("replay", "replay", "entries/s", float64(entries)/replays.span().Seconds())
	l.add("replay", "replay, entries", "entries", float64(entries))
	return r.equal(ctx)
}

// write lets many callers write single points for a while.
func (r *rig) write(ctx context.Context) error {
	conns, closeAll, err := r.conns(connections)
	if err != nil {
		return err
	}
	defer closeAll()
	_, err = bench.Write(ctx, bench.Plan{Conns: conns, Callers: replayCallers, Batch: 1, Devices: 4 * replayCallers,
		Database: database, Collection: "replayed", Duration: replaySpell, Start: start, Seed: fillSeed})
	return err
}

// committed sums up the commit indices of all groups.
func (r *rig) committed(ctx context.Context) (sum uint64, err error) {
	var l api.GroupList
	if _, err := r.admin.Get(ctx, "/v1/admin/groups", nil, &l); err != nil {
		return 0, err
	}
	for i := range l.Groups {
		sum += l.Groups[i].CommitIndex
	}
	return sum, nil
}
