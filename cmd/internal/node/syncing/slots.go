package syncing

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
)

// slots bounds how many copies come into this node at once. Who waits is
// served by urgency, not by arrival.
type slots struct {
	limit func() int // may change at any time; settle notices

	mu      sync.Mutex
	taken   map[uint32]bool // guarded by mu: the groups that have a slot
	waiting []*slotWait     // guarded by mu
}

// urgency orders those who wait: lower goes first.
type urgency struct {
	resumed bool // it was under way when the node stopped: it goes on where it was
	spare   int  // live voters of the group beyond a quorum; below 0 it has none
	group   uint32
}

func (a urgency) compare(b urgency) int {
	first := func(yes bool) int {
		if yes {
			return 0
		}
		return 1
	}
	// Whatever has no voter to spare stops writes with the next failure.
	return cmp.Or(
		cmp.Compare(min(a.spare, 1), min(b.spare, 1)),
		cmp.Compare(first(a.resumed), first(b.resumed)),
		cmp.Compare(a.spare, b.spare), cmp.Compare(a.group, b.group))
}

type slotWait struct {
	urgency
	granted chan struct{} // closed with the slot
}

func newSlots(limit func() int) *slots {
	return &slots{limit: limit, taken: make(map[uint32]bool)}
}

// acquire waits for a slot; release gives it back and may be called again.
func (s *slots) acquire(ctx context.Context, u urgency) (release func(), err error) {
	w := &slotWait{u, make(chan struct{})}
	s.mu.Lock()
	s.waiting = append(s.waiting, w)
	s.settleLocked()
	s.mu.Unlock()
	release = sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.taken, u.group)
		s.settleLocked()
	})
	select {
	case <-w.granted:
		return release, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-w.granted: // at the same moment
		delete(s.taken, u.group)
		s.settleLocked()
	default:
		s.waiting = slices.DeleteFunc(s.waiting, func(o *slotWait) bool { return o == w })
	}
	return nil, context.Cause(ctx)
}

// settle grants what a limit that was raised allows.
func (s *slots) settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked()
}

func (s *slots) settleLocked() {
	for len(s.waiting) > 0 && len(s.taken) < s.limit() {
		first := slices.MinFunc(s.waiting, func(a, b *slotWait) int { return a.compare(b.urgency) })
		s.waiting = slices.DeleteFunc(s.waiting, func(o *slotWait) bool { return o == first })
		s.taken[first.group] = true
		close(first.granted)
	}
}

// copying is how many groups have a slot.
func (s *slots) copying() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}

// busy says, to those who wait, what they wait for; "" when nobody need wait.
func (s *slots) busy() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.taken) < s.limit() {
		return ""
	}
	return fmt.Sprintf("%d resyncs copy into this node, and storage.sync.max_concurrent_syncs is %d", len(s.taken), s.limit())
}
