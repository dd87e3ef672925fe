package antientropy

import (
	"context"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

func (w *world) Accuse(ctx context.Context, group uint32, node string, s Suspicion) error {
	if err := w.enter(ctx, "accuse", node); err != nil {
		return err
	}
	defer w.mu.Unlock()
	h := w.of(node)
	if !s.Disputed && w.healthyMajority() && h.Voter && h.right(w.truth) {
		w.note("%s is healthy, of a healthy majority, and accused: %+v", node, s)
	}
	if !slices.IsSortedFunc(s.Leaves, digest.Leaf.Compare) || s.Why == "" || s.Since.IsZero() {
		w.note("accused by %+v", s)
	}
	h.Suspect = &s
	w.handOver()
	return nil
}

func (w *world) Acquit(ctx context.Context, group uint32, node string, leaves []digest.Leaf) error {
	if err := w.enter(ctx, "acquit", node); err != nil {
		return err
	}
	defer w.mu.Unlock()
	h := w.of(node)
	if h.Suspect != nil && w.healthyMajority() {
		for _, leaf := range h.Suspect.Leaves {
			if len(leaves) > 0 && !slices.Contains(leaves, leaf) {
				continue // it stands
			}
			if !h.rightAbout(leaf, w.truth) {
				w.note("%s is acquitted, and leaf %s is not right", node, leaf)
			}
		}
		if len(h.Suspect.Leaves) == 0 && !h.right(w.truth) {
			w.note("%s is acquitted, and is not right", node)
		}
	}
	held := func(list []digest.Leaf) []digest.Leaf {
		return slices.DeleteFunc(slices.Clone(list), func(l digest.Leaf) bool { return len(leaves) == 0 || slices.Contains(leaves, l) })
	}
	h.doubts = held(h.doubts)
	if s := h.Suspect; s != nil {
		if left := held(s.Leaves); len(left) > 0 {
			h.Suspect = &Suspicion{s.Since, s.Disputed, s.Why, left}
		} else {
			h.Suspect = nil
		}
	}
	w.handOver()
	return nil
}

// handOver has a leader that is accused replaced soon, if somebody can take over.
func (w *world) handOver() {
	if s := w.replicas[w.leader].Suspect; s == nil || s.Disputed {
		return
	}
	for i, h := range w.replicas {
		if h.Voter && h.Suspect == nil && h.Why == "" {
			time.AfterFunc(time.Second, func() { w.set(func() { w.leader = i }) })
			return
		}
	}
}
