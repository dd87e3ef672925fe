package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// Agree implements gateway.Chronicler.
func (x *examinerAdapter) Agree(ctx context.Context, group uint32, cut string, at antientropy.Place, root digest.ID) error {
	v, lineage, err := x.view(ctx, group, cut)
	if err != nil {
		return err
	}
	defer func() { _ = v.Close() }()
	if at.Lineage != lineage || at.Index != v.Index().Index {
		return fmt.Errorf("group %d: the replica is at %d of lineage %s, not at %d of %s", group, v.Index().Index, lineage, at.Index, at.Lineage)
	}
	has, entries, err := v.Root(ctx)
	if err != nil {
		return err
	}
	if has != root {
		return fmt.Errorf("group %d: the root is %s, not %s", group, has, root)
	}
	g, err := x.group(group)
	if err != nil {
		return err
	}
	g.NoteRoot(root, v.Index()) // for the group's row: all say the same there
	return g.Agree(raftgroup.Agreement{Lineage: lineage, Index: at.Index, Entries: entries})
}

// Replay implements gateway.Chronicler: from the last agreement, and where that
// does not help, from the beginning of the log, if it is that of the group.
func (x *examinerAdapter) Replay(ctx context.Context, group uint32, cut string, leaves []digest.Leaf) (antientropy.LeafList, error) {
	v, lineage, err := x.view(ctx, group, cut)
	if err != nil {
		return antientropy.LeafList{}, err
	}
	defer func() { _ = v.Close() }()
	g, err := x.group(group)
	if err != nil {
		return antientropy.LeafList{}, err
	}
	list := antientropy.LeafList{Place: antientropy.Place{Lineage: lineage, Index: v.Index().Index}}
	first, err := g.LogBegins()
	if err != nil {
		return list, err
	}
	var bases []raftgroup.Agreement
	if a, found, err := g.Agreement(); err == nil && found && a.Lineage == lineage && a.Index <= list.Index && first <= a.Index+1 {
		bases = append(bases, a)
	}
	if first == 1 {
		bases = append(bases, raftgroup.Agreement{Lineage: lineage}) // no group was born with points
	}
	if len(bases) == 0 {
		return list, fmt.Errorf("its log begins at %d, and what was agreed upon before that is not known", first)
	}
	left := leaves
	said := make(map[digest.Leaf]antientropy.LeafStatement, len(leaves))
	for _, base := range bases {
		if left, err = replayFrom(ctx, g, v, base, left, said); err != nil {
			return list, err
		}
	}
	for _, leaf := range leaves {
		list.Leaves = append(list.Leaves, said[leaf])
	}
	return list, nil
}

// replayFrom replays leaves from one base, and gives those of which it does not
// tell.
func replayFrom(ctx context.Context, g *raftgroup.Group, v *storage.View, base raftgroup.Agreement, leaves []digest.Leaf,
	said map[digest.Leaf]antientropy.LeafStatement) (untold []digest.Leaf, err error) {
	if len(leaves) == 0 {
		return nil, nil
	}
	held := make(map[digest.Leaf]digest.LeafDigest, len(base.Entries))
	for _, e := range base.Entries {
		held[e.Leaf] = e.LeafDigest
	}
	r := v.Replay(leaves)
	logErr := g.ReadLog(ctx, base.Index+1, v.Index().Index, r.Apply)
	for _, leaf := range leaves {
		s := antientropy.LeafStatement{Entry: digest.Entry{Leaf: leaf}}
		err := logErr
		if err == nil {
			s.LeafDigest, err = r.Leaf(ctx, v, leaf, held[leaf])
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			s.Unreadable, s.Why = true, err.Error()
			untold = append(untold, leaf)
			if old, before := said[leaf]; before {
				s.Why = errors.Join(errors.New(old.Why), err).Error()
			}
		}
		said[leaf] = s
	}
	return untold, nil
}
