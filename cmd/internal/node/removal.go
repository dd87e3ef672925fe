package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/raftgroup"
)

const (
	// removalPoll is the pause between two looks at replicas that nobody assigns.
	removalPoll = 2 * time.Second
	// removalLimit bounds the questions about one of them.
	removalLimit = 5 * time.Second
)

// removal closes the replicas of this node that were moved away, and removes
// their data: only when neither the table nor the group's configuration names
// them, which is asked once more when the replica has stopped. A move that
// failed leaves such a replica behind, too.
type removal struct{ node *Node }

func (r *removal) run(ctx context.Context) {
	tick := time.NewTicker(removalPoll)
	defer tick.Stop()
	told := false
	for {
		told = told || r.tellIdle(ctx)
		table := r.node.dir.Table()
		for _, g := range r.node.hosts.host.Load().Groups() {
			a, known := table.Assignments[g.ID()]
			if known && !a.Holds(r.node.id.Name) && !r.node.syncs.Busy(g.ID()) && ctx.Err() == nil {
				r.remove(ctx, g)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tellIdle says, once the table is known to be of now, what this node has on its
// disk of groups that are not assigned to it and never were: an adopted clone has
// the shards of its original. They stay, since a move to this node builds on them.
func (r *removal) tellIdle(ctx context.Context) (told bool) {
	ctx, cancel := context.WithTimeout(ctx, removalLimit)
	defer cancel()
	table, err := r.node.dir.Confirm(ctx)
	if err != nil {
		return false
	}
	groups, bytes := r.idle(table)
	if groups > 0 {
		r.node.log.Info("shards on this disk are of groups that are not assigned to this node: a move of one here builds on it; until then it may be removed while the node is stopped",
			"groups", groups, "bytes", bytes)
	}
	return true
}

// idle counts them.
func (r *removal) idle(table *directory.Table) (groups int, bytes int64) {
	host := r.node.hosts.host.Load()
	for _, id := range host.Known() {
		if _, open := host.Group(id); open || table.Assignments[id].Holds(r.node.id.Name) {
			continue
		}
		if info, err := os.Stat(filepath.Join(r.node.groupDir(id), "shard.db")); err == nil {
			groups, bytes = groups+1, bytes+info.Size()
		}
	}
	return groups, bytes
}

func (r *removal) remove(ctx context.Context, g *raftgroup.Group) {
	ctx, cancel := context.WithTimeout(ctx, removalLimit)
	defer cancel()
	err := r.unwanted(ctx, g.ID())
	if err == nil {
		err = r.node.hosts.host.Load().Remove(ctx, g.ID(), func(ctx context.Context) error { return r.unwanted(ctx, g.ID()) })
	}
	if err != nil {
		r.node.log.Debug("a replica that is not assigned stays", "group", g.ID(), "err", err)
	}
}

// errStillNamed: somebody counts on the replica.
var errStillNamed = errors.New("the replica is still named")

// unwanted is nil when the table as of now does not assign the group to this
// node, and its leader's configuration does not name this node either.
func (r *removal) unwanted(ctx context.Context, group uint32) error {
	table, err := r.node.dir.Confirm(ctx)
	if err != nil {
		return err
	}
	if a, known := table.Assignments[group]; !known || a.Holds(r.node.id.Name) {
		return fmt.Errorf("%w: by the table", errStillNamed)
	}
	named, err := r.node.syncs.Named(ctx, group)
	if err != nil {
		return err
	}
	if named {
		return fmt.Errorf("%w: by the configuration", errStillNamed)
	}
	return nil
}
