package storage

// A cut over a head that holds no points and no deletes needs no write: what the file shows is what the cut shows, but for
// the state (applied index, configuration, leases), which the log brings back after a crash, and a pin remembers. A commit
// with its two syncs on each replica was the dearest part of a cut, and a job makes two.

// lightDigests is how many computed digests may wait for a later write: more would be computed again by the next check.
const lightDigests = maxPending / 2

// isLight decides whether a frozen head, the oldest, has its cuts pinned without a write. Whoever waits for a flush gets
// one, and a file that has no name yet gets it by a write. The caller holds the lock.
func (s *Shard) isLight(h *head) bool {
	return len(h.cuts) > 0 && len(h.series) == 0 && len(h.deletes) == 0 &&
		h.state.blockFormat == s.durable.blockFormat && s.waiters.Load() == 0 && !s.closing &&
		!s.file.unborn && len(s.known.pending) < lightDigests
}

// pinLight pins the cuts of such a head. Its state goes on in the next head, which is as old from now on: it is written with
// that, or by itself when it has the age.
func (s *Shard) pinLight(h *head) {
	pins := s.openPins(h, false)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = s.frozen[1:]
	heir := s.active
	if len(s.frozen) > 0 {
		heir = s.frozen[0]
	}
	if h.dirty && (!heir.dirty || h.since.Before(heir.since)) {
		heir.dirty, heir.since = true, h.since
	}
	s.addPins(h, pins)
	s.broadcast()
}
