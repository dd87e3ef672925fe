package storage

import (
	"errors"
	"math"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// runFlusher is the only writer of the file: it writes frozen heads strictly in order, pins views, and in quiet times
// merges parts and compacts. Close ends it, after a last flush.
func (s *Shard) runFlusher() {
	defer close(s.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		for s.flushNext() {
		}
		if s.isClosing() || s.Err() != nil {
			s.flushDigests()
			if s.Err() == nil && s.file.unborn { // an orderly end leaves a file even where nothing was applied
				s.write("name", func(*headWrite) error { return nil })
			}
			return
		}
		s.renewNow()
		s.tidyOne()
		s.settleSome()
		s.compactIfIdle()
		timer.Reset(s.untilNext())
		select {
		case <-s.wakeup:
		case <-timer.C:
		case <-s.stop:
		}
	}
}

func (s *Shard) isClosing() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.closing
}

// flushNext freezes what is due and writes the oldest frozen head; false when there is nothing to write.
func (s *Shard) flushNext() bool {
	if d := s.file.damaged.Load(); d != nil {
		s.fail(d)
	}
	s.mu.Lock()
	now := time.Now()
	s.expire(now)
	if s.err != nil {
		s.mu.Unlock()
		return false
	}
	if s.flushDue(now) && len(s.frozen) < MaxFrozen && len(s.cuts) == 0 {
		s.freeze()
		s.wanted = false
		s.relieving.Store(false)
	}
	if len(s.frozen) == 0 {
		s.mu.Unlock()
		return false
	}
	h := s.frozen[0]
	s.mu.Unlock()
	s.flushHead(h)
	return true
}

// flushDue decides whether the active head is to be frozen. The caller holds the lock.
func (s *Shard) flushDue(now time.Time) bool {
	last := s.durable.applied
	if n := len(s.frozen); n > 0 {
		last = s.frozen[n-1].state.applied
	}
	if s.state.applied == last && !s.active.dirty {
		s.wanted = false
		s.relieving.Store(false)
		return false
	}
	return s.wanted || s.closing || s.relieving.Load() || s.active.dirty && now.Sub(s.active.since) >= s.o.FlushAge
}

// flushHead writes one head in one transaction, pins the views of its cuts, and only then lets anything later be written.
func (s *Shard) flushHead(h *head) {
	s.budget.slots <- struct{}{}
	s.mu.RLock()
	ready := s.known.ready()
	s.mu.RUnlock()
	var w *headWrite
	err := s.file.update("flush", func(tx *bolt.Tx) error {
		w = newHeadWrite(s.file, tx, s.totals, s.windowNs, s.o.MaxParts)
		if err := w.head(h); err != nil {
			return err
		}
		if err := w.putDigests(ready); err != nil {
			return err
		}
		return putState(s.file.bucket(tx, bucketMeta), &h.state, w.totals)
	})
	<-s.budget.slots
	if err != nil {
		s.writeFailed(err)
		return
	}
	s.committed(h, w, ready)
	s.account()
}

// committed makes a commit visible: the head leaves, its views are pinned.
func (s *Shard) committed(h *head, w *headWrite, ready map[digest.Leaf]knownDigest) {
	for leaf := range w.touched {
		s.newest = max(s.newest, leaf.Window)
	}
	for leaf := range w.loose {
		s.loose[leaf] = true
	}
	pins := s.openPins(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = s.frozen[1:]
	s.durable, s.totals = h.state, w.totals
	s.flushes++
	s.compactAt = time.Now().Add(s.o.IdleCompact)
	s.known.written(ready)
	s.known.touched(w.touched, h.state.applied.Index, len(s.pins) > 0)
	s.wroteUnderViews(w.bytesPut)
	s.addPins(h, pins)
	s.broadcast()
}

// writeFailed ends the shard: bad pages mean quarantine, anything else an unknown outcome.
func (s *Shard) writeFailed(err error) {
	if errors.Is(err, ErrClosed) {
		s.fail(err)
		return
	}
	if errors.Is(err, ErrDamaged) {
		// A delete that cannot be carried out on a bad block is as final as a bad page: the state cannot go on from here.
		s.fail(s.file.damage(err))
		return
	}
	if !errors.Is(err, ErrStorage) {
		err = errors.Join(ErrStorage, err)
	}
	s.log.Error("shard cannot be written", "path", s.o.Path, "err", err)
	s.fail(err)
	if s.o.Fatal != nil {
		s.o.Fatal(err)
	}
}

// untilNext is how long the flusher may sleep when nothing wakes it.
func (s *Shard) untilNext() time.Duration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := time.Now()
	wait := time.Duration(math.MaxInt64)
	if s.active.dirty {
		wait = s.active.since.Add(s.o.FlushAge).Sub(now)
	}
	if at, ok := s.leases.next(); ok {
		wait = min(wait, at.Sub(now))
	}
	if len(s.loose) > 0 && s.looseClosed() {
		wait = 0
	}
	if s.settling {
		wait = 0
	}
	if !s.compactAt.IsZero() {
		wait = min(wait, s.compactAt.Sub(now))
	}
	return max(wait, 0)
}

// looseClosed reports whether some loose leaf lies in a window that has closed: newer ones have been written since.
func (s *Shard) looseClosed() bool {
	for leaf := range s.loose {
		if leaf.Window < s.newest {
			return true
		}
	}
	return false
}

// tidyOne merges the parts of one leaf of a closed window, in a transaction of its own. The state does not change.
func (s *Shard) tidyOne() {
	for leaf := range s.loose {
		if leaf.Window >= s.newest {
			continue
		}
		delete(s.loose, leaf)
		if s.bad.has(leaf) {
			continue // it is replaced as a whole
		}
		s.write("tidy", func(w *headWrite) error { return w.tidy(leaf) })
		return
	}
}

// flushDigests writes the digests that were computed since the last flush.
func (s *Shard) flushDigests() {
	s.mu.RLock()
	ready := s.known.ready()
	err := s.err
	s.mu.RUnlock()
	if len(ready) == 0 || err != nil {
		return
	}
	s.write("digests", func(w *headWrite) error { return w.putDigests(ready) })
}

// write runs a transaction that changes the form of the file, not the state.
func (s *Shard) write(op string, fn func(*headWrite) error) {
	s.budget.slots <- struct{}{}
	var w *headWrite
	err := s.file.update(op, func(tx *bolt.Tx) error {
		w = newHeadWrite(s.file, tx, s.totals, s.windowNs, s.o.MaxParts)
		if err := fn(w); err != nil {
			return err
		}
		return putState(s.file.bucket(tx, bucketMeta), &s.durable, w.totals)
	})
	<-s.budget.slots
	var damage *DamageError
	switch {
	case errors.As(err, &damage) && !damage.Structure:
		// One bad block: merging it can wait until it is repaired.
		s.log.Error("shard has a bad block", "path", s.o.Path, "err", err)
	case err != nil:
		s.writeFailed(err)
	default:
		s.mu.Lock()
		s.totals = w.totals
		s.wroteUnderViews(w.bytesPut)
		s.mu.Unlock()
	}
}
