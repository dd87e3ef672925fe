package syncing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/membership/directory"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

const (
	// moveRemoval bounds the wait, after the new replica has its vote, until the old
	// one has lost its own.
	moveRemoval = 10 * time.Minute
	// movePoll is the pause between two looks.
	movePoll = 200 * time.Millisecond
	// moveUndo bounds the way back of a move that failed.
	moveUndo = 10 * time.Second
)

// mover has this node take replicas over from others.
type mover struct {
	config *Config
	table  *table
}

// move begins the job that takes one over. The assignment is changed first: what it
// says is what reconcile brings about, so that a move which its nodes do not live to
// see goes on all the same.
func (m *mover) move(ctx context.Context, group uint32, from string, o gateway.ResyncOptions) (api.Job, error) {
	m.table.untilUp(ctx)
	if err := m.table.reserve(group, from); err != nil {
		return api.Job{}, err
	}
	if err := m.reassign(ctx, group, from, m.config.Self.Name); err != nil {
		return api.Job{}, moveError(group, err)
	}
	j, err := m.table.open(&job{Group: group, Kind: api.JobMove, Trigger: triggerMove, Options: o, From: from})
	if err != nil {
		limited, cancel := context.WithTimeout(ctx, moveUndo)
		defer cancel()
		if undo := m.reassign(limited, group, m.config.Self.Name, from); undo != nil {
			m.config.Logger.Warn("a move that was not begun is not undone", "group", group, "err", undo)
		}
		return api.Job{}, err
	}
	return j.row.Job(), nil
}

// reassign gives a node's place in a group to another one, unless it has it.
func (m *mover) reassign(ctx context.Context, group uint32, from, to string) error {
	for {
		table, err := m.config.Directory.Confirm(ctx)
		if err != nil {
			return err
		}
		a := table.Assignments[group]
		if a.Holds(to) && !a.Holds(from) {
			return nil
		}
		_, err = m.config.Directory.Replace(ctx, group, a.Epoch, from, to)
		if err == nil || !errors.Is(err, directory.ErrUnknown) && !errors.Is(err, directory.ErrStale) || ctx.Err() != nil {
			return err
		}
	}
}

func moveError(group uint32, err error) error {
	hint := fmt.Sprintf("see `flotilla group %d`", group)
	switch {
	case errors.Is(err, directory.ErrUnknown):
		return api.E(api.OutcomeUnknown, hint, "the group may or may not be assigned anew").Because(err).InGroup(group)
	case errors.Is(err, directory.ErrInvalid), errors.Is(err, directory.ErrStale), errors.Is(err, directory.ErrNotFound):
		return api.E(api.Conflict, hint, "the replica cannot be moved").Because(err).InGroup(group)
	}
	return api.E(api.NoLeader, "retry; "+hint, "the replica was not moved").Because(err).InGroup(group)
}

// end waits, after a copy that was done, until the old replica is out of the
// configuration; the place of one that was not done goes back to where it came
// from. "" when the process ends.
func (m *mover) end(ctx context.Context, j *job, status, why string) (string, string) {
	if status != api.StatusDone && !m.votes(j.Group) {
		return m.undo(ctx, j, status, why)
	}
	if status != api.StatusDone {
		return status, why + "; the new replica votes already, and the old one goes"
	}
	stage := "promote"
	j.row.Change(func(r *api.Job) {
		by := "the replica of " + j.From + " is not removed yet"
		r.Stage, r.BlockedBy = &stage, &by
	})
	tick := time.NewTicker(movePoll)
	defer tick.Stop()
	limit := time.NewTimer(moveRemoval)
	defer limit.Stop()
	for m.names(j.Group, j.From) {
		select {
		case <-ctx.Done():
			return "", ""
		case <-j.stop:
			return api.StatusCancelled, "cancelled on request; the new replica votes, and the old one goes"
		case <-limit.C:
			return api.StatusFailed, fmt.Sprintf("the new replica votes, but that of %s is still in the configuration after %s", j.From, moveRemoval)
		case <-tick.C:
		}
	}
	return status, why
}

// undo gives the place back.
func (m *mover) undo(ctx context.Context, j *job, status, why string) (string, string) {
	if ctx.Err() != nil {
		return "", ""
	}
	limited, cancel := context.WithTimeout(ctx, moveUndo)
	defer cancel()
	if err := m.reassign(limited, j.Group, m.config.Self.Name, j.From); err != nil {
		return status, fmt.Sprintf("%s; the group stays assigned to %s: %v", why, m.config.Self.Name, err)
	}
	return status, why + "; the replica stays with " + j.From
}

// members is the configuration as this node's replica knows it.
func (m *mover) members(group uint32) []raftgroup.Member {
	g, err := m.config.Group(group)
	if err != nil {
		return nil
	}
	members, _, _ := g.Members()
	return members
}

// votes reports whether this node's replica has a vote.
func (m *mover) votes(group uint32) bool {
	return slices.ContainsFunc(m.members(group), func(s raftgroup.Member) bool { return s.Voter && s.ID.NodeID == m.config.Self })
}

// names reports whether the configuration names a node.
func (m *mover) names(group uint32, node string) bool {
	return slices.ContainsFunc(m.members(group), func(s raftgroup.Member) bool { return s.ID.Name == node })
}
