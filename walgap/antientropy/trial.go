package antientropy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// trial is what the replicas say of the leaves in question, by their places in the list.
type trial struct {
	leaves []digest.Leaf // in question, in leaf order
	stored []map[digest.Leaf]LeafStatement
	read   []map[digest.Leaf]LeafStatement // from bytes on the disk
	tried  []bool                          // it has read all of them again
	ruling map[digest.Leaf]Ruling
	log    map[digest.Leaf]string // what the log was found to say of those that were disputed
}

// judge finds the leaves in question, has every replica read them from its disk, and blames by what was read: a
// difference of stored digests accuses, and nothing more.
func (c *check) judge(ctx context.Context) error {
	if err := c.question(ctx); err != nil {
		return err
	}
	if err := c.reread(ctx); err != nil {
		return err
	}
	t := &c.trial
	t.ruling = make(map[digest.Leaf]Ruling, len(t.leaves))
	for _, leaf := range t.leaves {
		t.ruling[leaf] = Judge(c.place, c.leafOpinions(leaf))
	}
	if err := c.settle(ctx); err != nil {
		return err
	}
	equal := AllEqual(c.place, c.rootOpinions())
	for _, leaf := range t.leaves {
		equal = equal && AllEqual(c.place, c.leafOpinions(leaf))
	}
	c.report.Equal = equal
	for i, h := range c.list {
		b := &blame{heard: h}
		for _, leaf := range t.leaves {
			c.chargeLeaf(b, i, leaf)
		}
		c.mended(b, func(on *charge) bool { return c.rightAtCut(i, on) })
		c.blame(b)
	}
	return nil
}

// question makes the list of leaves in question: those whose stored digests differ, those that somebody doubts, and
// those that a deep check found bad. Where all roots are equal no whole lists are asked for.
func (c *check) question(ctx context.Context) error {
	t := &c.trial
	asked := map[digest.Leaf]bool{}
	for _, leaf := range c.extra {
		asked[leaf] = true
	}
	for _, h := range c.list {
		if h.err == nil {
			h.doubts(asked)
		}
	}
	t.stored = make([]map[digest.Leaf]LeafStatement, len(c.list))
	var only []digest.Leaf // none: all
	if c.sameRoots() {
		if only = inOrder(asked); len(only) == 0 {
			return nil
		}
	}
	if only == nil {
		if err := c.leavesOf(ctx, t.stored, false, nil); err != nil {
			return err
		}
		t.differing(c.list, asked)
	}
	for batch := range slices.Chunk(only, rereadBatch) {
		if err := c.leavesOf(ctx, t.stored, false, batch); err != nil {
			return err
		}
	}
	t.leaves = inOrder(asked)
	return nil
}

// doubts adds the leaves of a replica that may be wrong though its root is right.
func (h *heard) doubts(leaves map[digest.Leaf]bool) {
	list := h.said.Doubts
	if h.Suspect != nil {
		list = slices.Concat(list, h.Suspect.Leaves)
	}
	if h.inspected != nil {
		list = slices.Concat(list, h.inspected.Records)
		for _, l := range h.inspected.Bad {
			leaves[l.Leaf] = true
		}
	}
	for _, l := range list {
		leaves[l] = true
	}
}

// sameRoots reports whether all who are there have one root.
func (c *check) sameRoots() bool {
	var first *heard
	for _, h := range c.list {
		switch {
		case h.err != nil:
		case first == nil:
			first = h
		case h.said.Root != first.said.Root:
			return false
		}
	}
	return true
}

// differing adds the leaves of which not all say the same.
func (t *trial) differing(list []*heard, leaves map[digest.Leaf]bool) {
	for i, h := range list {
		if h.err != nil {
			continue
		}
		for leaf, l := range t.stored[i] {
			for j, other := range list {
				if o := t.stored[j][leaf]; other.err == nil && (o.LeafDigest != l.LeafDigest || o.Unreadable || l.Unreadable) {
					leaves[leaf] = true
				}
			}
		}
	}
}

// leavesOf gets leaves of all replicas.
func (c *check) leavesOf(ctx context.Context, into []map[digest.Leaf]LeafStatement, reread bool, only []digest.Leaf) error {
	bound := rootBound
	if reread {
		bound = rereadBound
	}
	var interrupted error
	ask(ctx, c.list, bound, func(ctx context.Context, h *heard) (LeafList, error) {
		return c.cluster().Leaves(ctx, c.group, c.cut, h.Node, reread, only)
	}, func(h *heard, l LeafList, err error) {
		c.read(l.BytesRead)
		i := slices.Index(c.list, h)
		if err == nil {
			err = errors.Join(l.Place.at(c.place), l.check(h.said.Root, only))
		}
		if h.err = err; err != nil {
			interrupted = c.interruption(interrupted, h, err)
			return
		}
		if into[i] == nil {
			into[i] = make(map[digest.Leaf]LeafStatement, len(l.Leaves))
		}
		for _, s := range l.Leaves {
			into[i][s.Leaf] = s
		}
	})
	return errors.Join(interrupted, context.Cause(ctx))
}

// check looks at an answer before anybody is judged by it: whole lists add up to the root that was stated.
func (l *LeafList) check(root digest.ID, only []digest.Leaf) error {
	if len(l.Leaves) > maxLeaves || only != nil && len(l.Leaves) > len(only) {
		return fmt.Errorf("it lists %d leaves, %d were asked for", len(l.Leaves), len(only))
	}
	entries, readable := make([]digest.Entry, len(l.Leaves)), true
	for i, s := range l.Leaves {
		entries[i], readable = s.Entry, readable && !s.Unreadable
		if i > 0 && l.Leaves[i-1].Leaf.Compare(s.Leaf) >= 0 {
			return fmt.Errorf("it lists leaf %s out of order", s.Leaf)
		}
		if _, asked := slices.BinarySearchFunc(only, s.Leaf, digest.Leaf.Compare); only != nil && !asked {
			return fmt.Errorf("it lists leaf %s, which was not asked for", s.Leaf)
		}
	}
	if only == nil && readable && digest.Root(entries) != root {
		return errors.New("its leaves do not add up to its root")
	}
	return nil
}

// reread has the leaves in question read from the disks, of all replicas: a record over bytes that rotted is no opinion.
func (c *check) reread(ctx context.Context) error {
	t := &c.trial
	t.read, t.tried = make([]map[digest.Leaf]LeafStatement, len(c.list)), make([]bool, len(c.list))
	for batch := range slices.Chunk(t.leaves, rereadBatch) {
		if err := c.leavesOf(ctx, t.read, true, batch); err != nil {
			return err
		}
	}
	for i, h := range c.list {
		t.tried[i] = h.err == nil
	}
	return nil
}

// leafOpinions are the replicas' opinions of a leaf, by what they read.
func (c *check) leafOpinions(leaf digest.Leaf) []Opinion {
	out := make([]Opinion, len(c.list))
	for i, h := range c.list {
		out[i] = h.opinion()
		s := c.trial.read[i][leaf]
		out[i].Content = s.LeafDigest
		switch {
		case !c.trial.tried[i]:
			out[i].Stance = Missing
		case s.Unreadable:
			out[i].Stance, out[i].Content = Blind, digest.LeafDigest{}
		}
	}
	return out
}

// settle has the log decide what no majority can, where that is possible.
func (c *check) settle(ctx context.Context) error {
	replayer, can := c.cluster().(Replayer)
	var disputed []digest.Leaf
	for _, leaf := range c.trial.leaves {
		if len(c.trial.ruling[leaf].Disputed) > 0 {
			disputed = append(disputed, leaf)
		}
	}
	if !can || len(disputed) == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, rereadBound)
	defer cancel()
	list, err := replayer.Replay(bounded, c.group, c.cut, disputed)
	if err == nil {
		err = errors.Join(list.Place.at(c.place), list.check(digest.ID{}, disputed))
	}
	c.trial.log = make(map[digest.Leaf]string, len(disputed))
	if err != nil {
		for _, leaf := range disputed {
			c.trial.log[leaf] = "the log does not tell: " + err.Error()
		}
		return context.Cause(ctx)
	}
	said := make(map[digest.Leaf]LeafStatement, len(list.Leaves))
	for _, s := range list.Leaves {
		said[s.Leaf] = s
	}
	for _, leaf := range disputed {
		if said[leaf].Unreadable {
			c.trial.log[leaf] = "the log does not tell: " + said[leaf].Why
			continue
		}
		c.trial.log[leaf] = "the log: " + named(said[leaf].LeafDigest)
		c.trial.ruling[leaf] = Settle(c.place, c.leafOpinions(leaf), c.trial.ruling[leaf], said[leaf].LeafDigest)
	}
	return nil
}

// inOrder lists a set of leaves.
func inOrder(set map[digest.Leaf]bool) []digest.Leaf {
	out := make([]digest.Leaf, 0, len(set))
	for leaf := range set {
		out = append(out, leaf)
	}
	slices.SortFunc(out, digest.Leaf.Compare)
	return out
}
