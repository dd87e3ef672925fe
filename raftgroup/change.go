package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/internal/raftfuture"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/snapshot"
	"github.com/hashicorp/raft"
)

// changeEnqueue bounds the wait until Raft takes a change of configuration: it
// takes none while another is not committed.
const changeEnqueue = 5 * time.Second

// ErrStaleConfiguration: the configuration changed since it was read, or none
// is known. Nothing was changed; read it again.
var ErrStaleConfiguration = errors.New("configuration has changed")

// Member is one server of a group's configuration.
type Member struct {
	ID    membership.ServerID
	Voter bool
}

// Members is the configuration that this replica's shard has applied, with its
// index: what a change must name as the one that it starts from.
func (g *Group) Members() ([]Member, uint64, error) {
	in, err := g.running()
	if err != nil {
		return nil, 0, err
	}
	encoded, index := in.shard.Configuration()
	if index == 0 {
		return nil, 0, fmt.Errorf("group %d: %w", g.id, ErrStaleConfiguration)
	}
	// Loops look at all groups often, and configurations change rarely.
	if known := in.decoded.Load(); known != nil && known.index == index {
		return slices.Clone(known.members), index, nil
	}
	c, err := snapshot.DecodeConfiguration(encoded)
	if err != nil {
		return nil, 0, fmt.Errorf("group %d: %w", g.id, err)
	}
	in.decoded.Store(&decodedConfiguration{index, members(c)})
	return members(c), index, nil
}

// Member reports whether the latest configuration that this replica knows names
// it, with a vote or without.
func (g *Group) Member() bool {
	in, err := g.running()
	if err != nil {
		return false
	}
	_, ok := suffrageOf(in.configuration(), in.self)
	return ok
}

// decodedConfiguration is what the entry at an index says.
type decodedConfiguration struct {
	index   uint64
	members []Member
}

func members(c raft.Configuration) []Member {
	list := make([]Member, 0, len(c.Servers))
	for _, s := range c.Servers {
		if id, err := membership.ParseServerID(string(s.ID)); err == nil {
			list = append(list, Member{ID: id, Voter: s.Suffrage == raft.Voter})
		}
	}
	return list
}

// AddNonvoter adds a server without a vote; prevIndex is that of Members.
func (g *Group) AddNonvoter(ctx context.Context, id membership.ServerID, prevIndex uint64) error {
	return g.change(ctx, prevIndex, func(r *raft.Raft) raft.IndexFuture {
		return r.AddNonvoter(raft.ServerID(id.String()), raft.ServerAddress(id.String()), prevIndex, changeEnqueue)
	})
}

// AddVoter gives a server a vote, at once: prove it first.
func (g *Group) AddVoter(ctx context.Context, id membership.ServerID, prevIndex uint64) error {
	return g.change(ctx, prevIndex, func(r *raft.Raft) raft.IndexFuture {
		return r.AddVoter(raft.ServerID(id.String()), raft.ServerAddress(id.String()), prevIndex, changeEnqueue)
	})
}

// RemoveServer removes a server; never below a quorum of proven ones.
func (g *Group) RemoveServer(ctx context.Context, id membership.ServerID, prevIndex uint64) error {
	return g.change(ctx, prevIndex, func(r *raft.Raft) raft.IndexFuture {
		return r.RemoveServer(raft.ServerID(id.String()), prevIndex, changeEnqueue)
	})
}

// change makes one change of configuration. prevIndex 0 would switch Raft's own
// compare-and-set off.
func (g *Group) change(ctx context.Context, prevIndex uint64, do func(*raft.Raft) raft.IndexFuture) error {
	in, err := g.running()
	if err != nil {
		return err
	}
	if in.held() {
		return in.notLeading()
	}
	if prevIndex == 0 {
		return fmt.Errorf("change configuration of group %d: %w", g.id, ErrStaleConfiguration)
	}
	done := make(chan error, 1)
	in.wg.Go(func() {
		if !in.proposer.step() {
			done <- raft.ErrRaftShutdown
			return
		}
		defer in.proposer.stepped()
		done <- raftfuture.EndWith(do(in.raft), in.ended).Error()
	})
	select {
	case err = <-done:
	case <-ctx.Done():
		return fmt.Errorf("change configuration of group %d: %w: %w", g.id, ErrUnknown, context.Cause(ctx))
	}
	if err != nil {
		if _, index := in.shard.Configuration(); index != prevIndex {
			return fmt.Errorf("change configuration of group %d: %w: %w", g.id, ErrStaleConfiguration, err)
		}
		return fmt.Errorf("change configuration of group %d: %w", g.id, classify(err, g.leaderHint()))
	}
	return nil
}
