package raftgroup

import "time"

const (
	// EntriesAtOnce is how many entries a node has under way, over all groups,
	// before the next ones wait for a turn. An entry costs the same with one
	// point or forty, most of it in Raft: while groups wait, what other callers
	// bring to them is merged. With few callers nothing waits.
	EntriesAtOnce = 16
	// slotPatience is how long an entry waits at most: groups that cannot commit
	// must not hold up those that can, nor a slow disk all of them.
	slotPatience = 25 * time.Millisecond
)

// entrySlots bound, softly, the entries under way on a node. Waiters are served
// in order. A nil one has room for everybody.
type entrySlots chan struct{}

func newEntrySlots() entrySlots { return make(entrySlots, EntriesAtOnce) }

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

// Writing reports whether callers of this node wait for entries of its groups
// now.
func (h *Host) Writing() bool { return len(h.slots) > 0 }
