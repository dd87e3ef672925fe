package raftgroup

import "time"

const (
	// EntriesAtOnce is how many entries a node has under way, over all groups,
	// before the next ones wait. A batch over 1,000 devices brings a few points to
	// each of 256 groups, and an entry costs the same with one point or forty:
	// while groups wait for their turn, what other callers bring to them is merged.
	EntriesAtOnce = 32
	// slotPatience is how long an entry waits at most: groups that cannot commit
	// must not hold up those that can.
	slotPatience = 25 * time.Millisecond
)

// entrySlots bound, softly, the entries under way on a node. Waiters are served
// in order. The zero value does not bound anything.
type entrySlots chan struct{}

// acquire waits for a slot, or until patience ends, and returns what gives the
// slot back.
func (s entrySlots) acquire() (release func()) {
	if s == nil {
		return func() {}
	}
	select {
	case s <- struct{}{}:
		return s.release
	default:
	}
	patience := time.NewTimer(slotPatience)
	defer patience.Stop()
	select {
	case s <- struct{}{}:
		return s.release
	case <-patience.C:
		return func() {}
	}
}

func (s entrySlots) release() { <-s }
