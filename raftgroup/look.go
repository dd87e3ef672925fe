package raftgroup

import (
	"context"
	"fmt"
	"time"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// Running reports whether the replica's Raft instance runs.
func (g *Group) Running() bool {
	_, err := g.running()
	return err == nil
}

// LedTerm is the term in which this replica leads, by its own knowledge.
func (g *Group) LedTerm() (term uint64, leads bool) {
	in, err := g.running()
	if err != nil {
		return 0, false
	}
	return in.leads()
}

// LedFor is how long this replica has led, by its own clock; 0 if it does not.
func (g *Group) LedFor() time.Duration {
	in, err := g.running()
	if err != nil {
		return 0
	}
	since := in.leadSince.Load()
	if since == 0 {
		return 0
	}
	return time.Since(time.Unix(0, since))
}

// OpenedAt is when this process had opened the group for the first time; zero
// before.
func (g *Group) OpenedAt() time.Time {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.openedAt
}

// FirstLog is the first index of the log; of one that was dropped whole the
// next, and 0 if there never was an entry.
func (g *Group) FirstLog() (uint64, error) {
	in, err := g.running()
	if err != nil {
		return 0, err
	}
	first, err := in.entries.FirstIndex()
	if err != nil {
		return 0, fmt.Errorf("first index of group %d: %w", g.id, err)
	}
	if last := in.raft.LastIndex(); first == 0 && last > 0 {
		return last + 1, nil
	}
	return first, nil
}

// LastContact is the time since which a leader is known to have had a commit
// index that is applied here; known is false while there is none. A replica that
// leads has what it last heard as a follower: whether it still leads is what
// ReadBarrier finds out.
func (g *Group) LastContact() (age time.Duration, known bool) {
	in, err := g.running()
	if err != nil {
		return 0, false
	}
	last := in.contact.last(in.shard.Applied().Index)
	return time.Since(last), !last.IsZero()
}

// CurrentRoot hashes this replica's state as of what it has applied now, and
// says where that is. It puts nothing in the log: replicas that stand at other
// indices cannot be compared by it.
func (g *Group) CurrentRoot(ctx context.Context) (digest.ID, storage.Position, error) {
	shard := g.Shard()
	if shard == nil {
		return digest.ID{}, storage.Position{}, g.NoShard()
	}
	view, err := shard.Look(ctx)
	if err != nil {
		return digest.ID{}, storage.Position{}, fmt.Errorf("group %d: %w", g.id, err)
	}
	defer func() { _ = view.Close() }()
	root, _, err := view.Root(ctx)
	if err != nil {
		return digest.ID{}, storage.Position{}, fmt.Errorf("group %d: root: %w", g.id, err)
	}
	return root, view.Index(), nil
}

// Leases are the live leases of the replica, by index; the error is that of NoShard.
func (g *Group) Leases() ([]storage.Record, error) {
	if shard := g.Shard(); shard != nil {
		return shard.Leases(), nil
	}
	return nil, g.NoShard()
}

// RootUntold reports whether the replica held something when this process opened
// it, has caught up since, and has told no root: that it is equal is not known.
func (g *Group) RootUntold() bool {
	if state, _ := g.condition(); state != ReplicaReady {
		return false
	}
	if _, level := g.LastContact(); !level && !g.IsLeader() {
		return false // it lacks entries, or does not know yet: its job comes first
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.rootAt.Index == 0 && g.atOpen != nil && (g.atOpen.HasData || g.atOpen.Last > 0)
}

// Condition is the replica's state, and what is wrong with it in one line, ""
// when nothing is: what Status says of it, without the figures.
func (g *Group) Condition() (ReplicaState, string) { return g.condition() }
