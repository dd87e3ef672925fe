package node

import (
	"context"
	"errors"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// examinerAdapter examines this node's replicas for checks.
type examinerAdapter struct {
	node    *Node
	reading chan struct{} // holds a token for each replica that may be re-read whole at once
}

// inspectAtOnce bounds the replicas of a node that are re-read at the same time:
// each keeps a core and the disk busy.
const inspectAtOnce = 2

func newExaminer(n *Node) *examinerAdapter {
	return &examinerAdapter{node: n, reading: make(chan struct{}, inspectAtOnce)}
}

func (x *examinerAdapter) group(id uint32) (*raftgroup.Group, error) { return x.node.hosts.group(id) }

// view is the replica's state at a cut, or ("") now.
func (x *examinerAdapter) view(ctx context.Context, group uint32, cut string) (*storage.View, string, error) {
	g, err := x.group(group)
	if err != nil {
		return nil, "", err
	}
	shard := g.Shard()
	switch {
	case shard == nil:
		return nil, "", groupError(g.NoShard())
	case cut == "":
		v, err := shard.Look(ctx)
		return v, g.Lineage(), err
	}
	v, err := shard.AwaitView(ctx, cut)
	return v, g.Lineage(), err
}

// Leaves implements gateway.Testifier.
func (x *examinerAdapter) Leaves(ctx context.Context, group uint32, cut string, reread bool, only []digest.Leaf) (antientropy.LeafList, error) {
	v, lineage, err := x.view(ctx, group, cut)
	if err != nil {
		return antientropy.LeafList{}, err
	}
	defer func() { _ = v.Close() }()
	return gateway.LeavesOf(ctx, v, lineage, reread, only)
}

// Detail implements gateway.Testifier.
func (x *examinerAdapter) Detail(ctx context.Context, group uint32, cut string, leaf digest.Leaf) (antientropy.Detail, error) {
	v, _, err := x.view(ctx, group, cut)
	if err != nil {
		return antientropy.Detail{}, err
	}
	defer func() { _ = v.Close() }()
	return gateway.DetailOf(ctx, v, leaf)
}

// Inspect implements gateway.Testifier: the shard, and what the log and the votes
// say of the group.
func (x *examinerAdapter) Inspect(ctx context.Context, group uint32, cut string, progress func(int64)) (antientropy.Inspected, error) {
	in, err := x.inspect(ctx, group, cut, progress)
	if g, gone := x.group(group); gone == nil && isFileDamage(g, err) {
		return antientropy.Inspected{Place: antientropy.Place{Lineage: g.Lineage()}}, classed{gateway.ErrStructure, err}
	}
	return in, err
}

func (x *examinerAdapter) inspect(ctx context.Context, group uint32, cut string, progress func(int64)) (antientropy.Inspected, error) {
	select {
	case x.reading <- struct{}{}:
		defer func() { <-x.reading }()
	case <-ctx.Done():
		return antientropy.Inspected{}, ctx.Err()
	}
	v, lineage, err := x.view(ctx, group, cut)
	if err != nil {
		return antientropy.Inspected{}, err
	}
	defer func() { _ = v.Close() }()
	in, err := x.read(ctx, v, progress)
	if err != nil {
		return antientropy.Inspected{}, err
	}
	out := gateway.InspectedOf(lineage, v.Index(), &in)
	g, err := x.group(group)
	if err == nil && g.Running() {
		out.Log, err = x.node.checks.Logs.Of(ctx, g)
		out.BytesRead += x.node.checks.Logs.Taken()
	}
	return out, err
}

// read re-reads a view, in turns, and at the rate that is set.
func (x *examinerAdapter) read(ctx context.Context, v *storage.View, progress func(int64)) (storage.Inspection, error) {
	turn := x.node.governor.Later()
	defer turn.End()
	if !x.node.checks.Pace.Gentle() {
		x.node.governor.Charge(inspectCost)
	}
	return v.Inspect(ctx, func(bytes int) error {
		if bytes > 0 {
			progress(int64(bytes))
			turn.End() // the rate may make it wait for long
			if err := x.node.checks.Pace.Wait(ctx, bytes); err != nil {
				return err
			}
		}
		if x.node.checks.Pace.Gentle() {
			turn.End()
			return ctx.Err()
		}
		return turn.Step(ctx)
	})
}

// Accuse implements gateway.Accused. A suspicion of no leaf is of damage that the
// replica has left service for by itself.
func (x *examinerAdapter) Accuse(_ context.Context, group uint32, s antientropy.Suspicion) error {
	g, err := x.group(group)
	if err != nil || len(s.Leaves) == 0 {
		return err
	}
	return g.Suspect(raftgroup.Suspicion(s))
}

// Acquit implements gateway.Accused.
func (x *examinerAdapter) Acquit(_ context.Context, group uint32, leaves []digest.Leaf) error {
	g, err := x.group(group)
	if err != nil {
		return err
	}
	return g.Clear(leaves...)
}

// Repair implements gateway.Accused.
func (x *examinerAdapter) Repair(ctx context.Context, group uint32, r antientropy.Repair) (api.Job, bool, error) {
	if r.Log && !r.Structure && len(r.Leaves) == 0 {
		return api.Job{}, false, nil // the log mends itself, or the group has started again
	}
	j, err := x.node.syncs.BeginRepair(ctx, group, r)
	return j, err == nil, err
}

// suspicionOf is what is held against a replica, in the terms of checks.
func suspicionOf(g *raftgroup.Group) *antientropy.Suspicion {
	if s, some := g.Suspicion(); some {
		out := antientropy.Suspicion(s)
		return &out
	}
	return nil
}

// readableRoot is the root of a view over what can be read of it, where a leaf
// cannot: it equals no other, and the leaves that are left out are named.
func readableRoot(ctx context.Context, v *storage.View) (root digest.ID, unreadable []digest.Leaf, err error) {
	states, err := v.States(ctx, false, nil)
	if err != nil {
		return root, nil, err
	}
	entries := make([]digest.Entry, 0, len(states))
	for i := range states {
		if states[i].Err != nil {
			unreadable = append(unreadable, states[i].Leaf)
			continue
		}
		entries = append(entries, states[i].Entry)
	}
	return digest.Root(entries), unreadable, nil
}

// isFileDamage reports whether an error says that a replica's file as a whole is
// damaged: it was met just now, or has left service before.
func isFileDamage(g *raftgroup.Group, err error) bool {
	if err == nil {
		return false
	}
	if d, ok := errors.AsType[*storage.DamageError](err); ok && d.Structure {
		return true
	}
	state, _ := g.Condition()
	return state == raftgroup.ReplicaQuarantined
}

// isLeafDamage reports whether an error is about leaves, and not the file.
func isLeafDamage(err error) bool {
	d, ok := errors.AsType[*storage.DamageError](err)
	return ok && !d.Structure
}
