package antientropy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// mark accuses whom the judge blamed, lifts suspicions that have become groundless, and asks which devices are touched.
// It does nothing if the group is not the one any more that was judged.
func (c *check) mark(ctx context.Context) error {
	var groundless []*heard
	for i, h := range c.list {
		if h.Suspect != nil && c.groundless(i) {
			groundless = append(groundless, h)
		}
	}
	if len(c.blames) == 0 && len(groundless) == 0 {
		return nil
	}
	if err := c.unchanged(ctx); err != nil {
		return err
	}
	// Leaders last: so that they hand over to nobody who is about to be accused.
	slices.SortStableFunc(c.blames, func(a, b *blame) int { return cmp.Compare(rank(a), rank(b)) })
	for _, b := range c.blames {
		c.accuse(ctx, b)
	}
	for _, h := range groundless {
		c.acquit(ctx, h.Node, "it was found equal")
	}
	c.describe(ctx)
	return nil
}

func rank(b *blame) int {
	if b.Leader {
		return 1
	}
	return 0
}

// unchanged checks that the replicas, their votes and the leader are those that were judged. A leader that is blamed may
// have handed over by itself meanwhile, when it found what it cannot read: nothing was judged by who leads.
func (c *check) unchanged(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	now, err := c.cluster().Members(bounded, c.group)
	if err != nil {
		return fmt.Errorf("list the replicas again: %w", errors.Join(ErrMoved, err))
	}
	handsOver := slices.ContainsFunc(c.blames, func(b *blame) bool { return b.Leader && b.suspicion(time.Time{}) != nil })
	same := len(now) == len(c.list)
	for _, h := range c.list {
		same = same && slices.ContainsFunc(now, func(m Member) bool {
			return m.Node == h.Node && m.Server == h.Server && m.Voter == h.Voter && (m.Leader == h.Leader || handsOver)
		})
	}
	if !same {
		return fmt.Errorf("%w: its replicas or its leader are others than when the check began", ErrMoved)
	}
	return nil
}

// suspicion is what a replica is accused of, nil: nothing that it must be marked for.
func (b *blame) suspicion(now time.Time) *Suspicion {
	s := Suspicion{Since: now, Disputed: true}
	if b.Suspect != nil && !b.Suspect.Since.IsZero() {
		s.Since = b.Suspect.Since
	}
	whole, any := false, false
	disputed := map[digest.Leaf]bool{}
	leaves := map[digest.Leaf]bool{}
	for _, on := range b.charges {
		switch {
		case on.verdict == Harmless || on.own() || on.early:
			continue
		case on.verdict == Disputed && on.leaf != nil:
			disputed[*on.leaf] = true
		case on.leaf != nil:
			leaves[*on.leaf], s.Disputed = true, false
		default:
			whole, s.Disputed = true, false
		}
		if !any {
			s.Why, any = text(on.why), true
		}
	}
	switch {
	case !any:
		return nil
	case s.Disputed:
		s.Leaves = inOrder(disputed)
	case !whole:
		s.Leaves = inOrder(leaves)
	}
	return &s
}

func (c *check) accuse(ctx context.Context, b *blame) {
	s := b.suspicion(time.Now())
	if s == nil {
		b.marked = true // nothing to be marked for
		return
	}
	bounded, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	if err := c.cluster().Accuse(bounded, c.group, b.Node, *s); err != nil {
		c.logger.Error("a replica that is wrong could not be marked", "node", b.Node, "error", err)
		c.report.Passing = true
		return
	}
	b.marked = true
	c.logger.Error("a replica is blamed", "node", b.Node, "disputed", s.Disputed, "leaves", len(s.Leaves), "reason", s.Why)
}

// acquit lifts the suspicion of what was in question, and of nothing else: more may have come up since.
func (c *check) acquit(ctx context.Context, node, why string) {
	bounded, cancel := context.WithTimeout(ctx, callBound)
	defer cancel()
	if err := c.cluster().Acquit(bounded, c.group, node, c.trial.leaves); err != nil {
		c.logger.Warn("a suspicion could not be lifted", "node", node, "error", err)
		c.report.Passing = true
		return
	}
	c.logger.Info("a suspicion is lifted", "node", node, "reason", why)
}

// groundless reports whether what the i-th replica is suspected of was looked at, from its disk, and a majority says the
// same.
func (c *check) groundless(i int) bool {
	h := c.list[i]
	if slices.ContainsFunc(c.blames, func(b *blame) bool { return b.Node == h.Node && b.suspicion(time.Time{}) != nil }) {
		return false
	}
	whole := len(h.Suspect.Leaves) == 0
	if whole && h.inspected == nil {
		return false
	}
	root := Judge(c.place, c.rootOpinions())
	for _, leaf := range c.trial.leaves {
		r := c.trial.ruling[leaf]
		concerns := whole || slices.Contains(h.Suspect.Leaves, leaf) || slices.Contains(h.said.Doubts, leaf)
		if concerns && !(r.Majority && slices.Contains(r.Good, h.Node)) {
			return false
		}
	}
	return h.err == nil && (!whole || root.Majority && slices.Contains(root.Good, h.Node))
}
