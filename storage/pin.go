package storage

import (
	"slices"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"
)

// MaxViews is how many views a shard pins at a time: each keeps pages of the file from being reused.
const MaxViews = 4

// pin is a view's read transaction. The shard lists it until the lease ends, too much was written under it, or the shard
// closes; operations that run then end first, and the last one gives the transaction back.
type pin struct {
	id      string
	pos     Position
	file    *file
	tx      *bolt.Tx
	meta    *boltMeta // what tx shows; nil: not known
	written int64     // bytes put into the file since; the shard's lock guards it

	mu    sync.Mutex // guards ops and ended
	ops   int        // operations that use tx
	ended bool
}

// enter begins an operation on the transaction; false when the view has ended.
func (p *pin) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return false
	}
	p.ops++
	return true
}

func (p *pin) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ops--
	if p.ended && p.ops == 0 {
		p.file.end(p.tx)
	}
}

func (p *pin) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return
	}
	p.ended = true
	if p.ops == 0 {
		p.file.end(p.tx)
	}
}

// live reports whether the view has not ended.
func (p *pin) live() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.ended
}

// openPins begins a read transaction for each cut of a head that has just been committed. Only the flusher calls it,
// before it writes anything else: the transaction shows the state at exactly the cut.
func (s *Shard) openPins(h *head) []*pin {
	s.mu.RLock()
	room := MaxViews - len(s.pins)
	ids := make([]string, 0, len(h.cuts))
	for _, id := range h.cuts {
		if l := s.leases.byID[id]; l != nil && s.pins[id] == nil && len(ids) < room {
			ids = append(ids, id)
		}
	}
	s.mu.RUnlock()
	var pins []*pin
	for _, id := range ids {
		tx, err := s.file.begin()
		if err != nil {
			s.log.Warn("cut cannot be pinned", "cut", id, "err", err)
			continue
		}
		pins = append(pins, &pin{id: id, pos: h.state.applied, file: s.file, tx: tx, meta: s.file.last.Load()})
	}
	return pins
}

// addPins lists the pins of a head, and notes which of its cuts got none. The caller holds the lock.
func (s *Shard) addPins(h *head, pins []*pin) {
	for _, p := range pins {
		if s.leases.byID[p.id] == nil { // ended while the transaction was opened
			p.end()
			continue
		}
		s.pins[p.id] = p
	}
	for _, id := range h.cuts {
		if s.pins[id] == nil {
			s.forget(id)
		}
	}
}

// unpin ends the view of a cut, if there is one, for good. The caller holds the lock.
func (s *Shard) unpin(id string) {
	if p := s.pins[id]; p != nil {
		delete(s.pins, id)
		p.end()
	}
	s.forget(id)
	if len(s.pins) == 0 {
		s.known.untouch()
	}
}

// forget remembers that a cut is not pinned and never will be. The caller holds the lock.
func (s *Shard) forget(id string) {
	if slices.Contains(s.gone, id) {
		return
	}
	if len(s.gone) >= maxGone {
		s.gone = append(s.gone[:0], s.gone[1:]...)
	}
	s.gone = append(s.gone, id)
	s.broadcast()
}

// expire ends leases that have run out and their views. The caller holds the lock.
func (s *Shard) expire(now time.Time) {
	for _, id := range s.leases.expire(now) {
		s.unpin(id)
	}
}

// endLook ends a view that belongs to no cut. The caller holds the lock.
func (s *Shard) endLook(p *pin) {
	delete(s.looks, p)
	p.end()
}

// wroteUnderViews counts bytes written against each view, and ends those that cost too much. The caller holds the lock.
func (s *Shard) wroteUnderViews(bytes int64) {
	for id, p := range s.pins {
		if p.written += bytes; p.written > s.o.MaxViewBytes {
			s.log.Warn("view ends early: too much was written under it", "cut", id, "bytes", p.written)
			s.unpin(id)
		}
	}
	for p := range s.looks {
		if p.written += bytes; p.written > s.o.MaxViewBytes {
			s.log.Warn("view ends early: too much was written under it", "index", p.pos.Index, "bytes", p.written)
			s.endLook(p)
		}
	}
}
