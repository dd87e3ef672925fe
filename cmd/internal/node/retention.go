package node

import (
	"context"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/storage"
)

// retentionPoll is how often databases with a retention are looked at: data is
// dropped by whole windows, so a minute more or less does not matter.
const retentionPoll = time.Minute

// retention proposes, in the groups that this node leads, to drop the windows
// that a database no longer keeps. What is dropped is decided by the entry in
// the log, so that every replica drops the same.
type retention struct {
	node *Node
	done map[retentionKey]int64 // the window below which a drop was applied
}

type retentionKey struct {
	group    uint32
	database string
}

func (r *retention) run(ctx context.Context) {
	tick := time.NewTicker(retentionPoll)
	defer tick.Stop()
	for {
		for _, db := range r.node.dir.Table().Databases {
			if db.Retention == 0 {
				continue
			}
			now, err := r.node.stamp()
			if err != nil { // by a wrong clock too much would be dropped
				r.node.log.Debug("retention waits", "err", err)
				break
			}
			r.drop(ctx, db, now)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *retention) drop(ctx context.Context, db membership.Database, now time.Time) {
	window := r.node.window()
	before := storage.WindowOf(now.Add(-db.Retention).UnixNano(), int64(window))
	for _, g := range r.node.hosts.host.Load().Groups() {
		key := retentionKey{g.ID(), db.Name}
		if !g.IsLeader() || r.done[key] == before || !holds(g, db.Name) {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, r.node.cfg.WriteTimeout)
		_, err := g.Propose(limited, storage.AppendRetain(nil, db.Name, before))
		cancel()
		if err != nil {
			r.node.log.Debug("retention is tried again", "group", g.ID(), "database", db.Name, "err", err)
			continue
		}
		r.done[key] = before
	}
}

// holds reports whether a group has points of a database.
func holds(g *raftgroup.Group, database string) bool {
	shard := g.Shard()
	if shard == nil {
		return false
	}
	names, err := shard.Databases()
	return err == nil && slices.Contains(names, database)
}
