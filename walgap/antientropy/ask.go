package antientropy

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// heard is what one assigned replica said so far.
type heard struct {
	Member
	err       error // it is missing, and this is why
	said      Statement
	inspected *Inspected
	notRead   error // why not everything was read again, in a deep check
}

// opinion is its opinion of a content, as far as it was heard.
func (h *heard) opinion() Opinion {
	o := Opinion{Node: h.Node, Voter: h.Voter, Place: h.said.Place}
	if h.err == nil {
		o.Stance = Says
	}
	return o
}

// hear makes the list of who is to be heard.
func hear(members []Member) []*heard {
	list := make([]*heard, len(members))
	for i, m := range members {
		list[i] = &heard{Member: m}
		if m.Why != "" {
			list[i].err = errors.New(text(m.Why))
		}
	}
	return list
}

// ask asks all replicas of a list that are not missing at once, each within the bound, and gives the answers to note, one
// after the other.
func ask[T any](ctx context.Context, list []*heard, bound time.Duration, question func(context.Context, *heard) (T, error), note func(*heard, T, error)) {
	answers, errs := make([]T, len(list)), make([]error, len(list))
	var wg sync.WaitGroup
	for i, h := range list {
		if h.err != nil {
			continue
		}
		wg.Go(func() {
			bounded, cancel := context.WithTimeout(ctx, bound)
			defer cancel()
			answers[i], errs[i] = question(bounded, h)
		})
	}
	wg.Wait()
	for i, h := range list {
		if h.err == nil {
			note(h, answers[i], errs[i])
		}
	}
}

// passes reports whether an error means that the check has to be made again.
func passes(err error) bool { return errors.Is(err, ErrMoved) || errors.Is(err, ErrNotPinned) }

// at checks that an answer is about the place that was asked for.
func (p Place) at(want Place) error {
	switch {
	case p.Index != want.Index:
		return fmt.Errorf("it answered for index %d, not %d", p.Index, want.Index)
	case p.Lineage != want.Lineage:
		return fmt.Errorf("it is of lineage %s, not %s", text(p.Lineage), text(want.Lineage))
	}
	return nil
}

// text bounds a text that a replica gave.
func text(s string) string {
	if len(s) > maxWhyBytes {
		return s[:maxWhyBytes] + "..."
	}
	return s
}
