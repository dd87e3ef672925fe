package syncing

import (
	"context"
	"slices"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
)

// The answers of answerNamed.
const (
	notNamed byte = iota
	isNamed
)

// Named reports whether the configuration of a group, as committed by now, names this node. The leader is asked, and
// who that is is not taken from memory.
func (s *Syncs) Named(ctx context.Context, group uint32) (bool, error) {
	answer, _, err := leaders{config: s.config}.ask(ctx, group, methodNamed, encodeGroup(group))
	if err != nil {
		return false, err
	}
	return len(answer) != 1 || answer[0] != notNamed, nil
}

// answerNamed says whether the configuration of a group that this node leads,
// as committed by now, names the node that asks.
func (l *leading) answerNamed(ctx context.Context, from membership.NodeID, request []byte) ([]byte, error) {
	group, err := decodeGroup(request)
	if err != nil {
		return nil, err
	}
	g, err := l.config.Group(group)
	if err != nil {
		return nil, raftgroup.ErrUnknownGroup
	}
	if err := g.ReadBarrier(ctx); err != nil {
		return nil, err
	}
	members, _, err := g.Members()
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(members, func(m raftgroup.Member) bool { return m.ID.NodeID == from }) {
		return []byte{isNamed}, nil
	}
	return []byte{notNamed}, nil
}
