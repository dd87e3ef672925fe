package raftgroup

import (
	"sync/atomic"
	"time"
)

const (
	// EntriesAtOnce is how many entries a node has under way, over all groups,
	// while merging pays. A batch over 1,000 devices brings a few points to each
	// of 256 groups, and an entry costs the same with one point or forty: while
	// groups wait for their turn, what other callers bring to them is merged.
	EntriesAtOnce = 16
	// slotPatience is how long an entry waits at most: groups that cannot commit
	// must not hold up those that can.
	slotPatience = 25 * time.Millisecond
	// mergingPays is how many callers share an entry, on average, from which on
	// entries wait for a slot. Single points of many devices share none: their
	// entries go at once, side by side.
	mergingPays = 1.5 * mergedUnit
	mergedUnit  = 1024
	// mergedMemory is over how many entries that average is taken.
	mergedMemory = 64
)

// entrySlots bound, softly, the entries under way on a node. Waiters are served
// in order.
type entrySlots struct {
	slots  chan struct{}
	merged atomic.Int64 // callers an entry lately, in mergedUnit-ths; a lost update does not matter
}

func newEntrySlots() *entrySlots { return &entrySlots{slots: make(chan struct{}, EntriesAtOnce)} }

// note tells how many callers share an entry that is about to go.
func (s *entrySlots) note(callers int) {
	if s != nil {
		m := s.merged.Load()
		s.merged.Store(m + (int64(callers)*mergedUnit-m)/mergedMemory)
	}
}

// acquire waits for a slot, or until patience ends, and returns what gives the
// slot back.
func (s *entrySlots) acquire() (release func()) {
	if s == nil || s.merged.Load() < mergingPays {
		return func() {}
	}
	select {
	case s.slots <- struct{}{}:
		return s.release
	default:
	}
	patience := time.NewTimer(slotPatience)
	defer patience.Stop()
	select {
	case s.slots <- struct{}{}:
		return s.release
	case <-patience.C:
		return func() {}
	}
}

func (s *entrySlots) release() { <-s.slots }
