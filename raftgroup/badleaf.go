package raftgroup

import (
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// A leaf whose bytes fail their checksum needs no majority to be wrong. The shard
// has stopped serving it when it says so; here that becomes a suspicion, which is
// durable, and for which a repair is due. Many that are found at once are written
// at once.

// badLeaves are those that were found and are not marked yet.
type badLeaves struct {
	mu     sync.Mutex
	leaves []digest.Leaf // guarded by mu
	cause  error         // guarded by mu; the first one's
	marks  bool          // guarded by mu; a worker is about to take them
}

// take gives what was found; none: the worker ends.
func (b *badLeaves) take() ([]digest.Leaf, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	leaves, cause := b.leaves, b.cause
	b.leaves, b.cause = nil, nil
	if len(leaves) == 0 {
		b.marks = false
	}
	return leaves, cause
}

// add reports whether a worker has to be started.
func (b *badLeaves) add(leaf digest.Leaf, cause error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.leaves) > maxSuspectLeaves {
		return false // the replica goes to quarantine
	}
	b.leaves = append(b.leaves, leaf)
	if b.cause == nil {
		b.cause = cause
	}
	start := !b.marks
	b.marks = true
	return start
}

// badLeaf is told by a shard of a leaf that cannot be read. It does not wait.
func (h *Host) badLeaf(group uint32, leaf digest.Leaf, cause error) {
	g, known := h.Group(group)
	if !known || !g.badLeaves.add(leaf, cause) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return // what is bad is found again
	}
	h.workers.Go(func() {
		for leaves, cause := g.badLeaves.take(); len(leaves) > 0; leaves, cause = g.badLeaves.take() {
			log := h.config.Logger.With("group", group, "leaves", len(leaves))
			log.Error("replica cannot read what it has: it is suspect", "error", cause)
			s := Suspicion{Why: fmt.Sprintf("cannot be read: %v", cause), Leaves: leaves}
			if err := g.Suspect(s); err != nil {
				log.Error("a suspicion does not outlive this process", "error", err)
			}
		}
	})
}

// suspectReminder is how often OnSuspect is told of a suspicion that stands: who
// repairs may have lost it.
const suspectReminder = time.Minute

// remind tells of the suspicions that stand, until the host closes.
func (h *Host) remind() {
	ticker := time.NewTicker(suspectReminder)
	defer ticker.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-ticker.C:
		}
		for _, g := range h.Groups() {
			g.tellSuspicion()
		}
	}
}
