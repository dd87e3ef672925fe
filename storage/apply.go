package storage

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// Entry is one entry of the group's log, as Apply wants it.
type Entry struct {
	Index, Term uint64
	Config      bool   // Data is an encoded configuration, not commands
	Data        []byte // not kept after Apply
}

// MaxFrozen is how many frozen heads wait for the flusher; then Apply waits.
const MaxFrozen = 4

// Apply brings entries to the head; those at or below Applied are skipped. Only one goroutine may call it. The result
// has one outcome an entry: nil; ErrBadCommand or ErrTooManyLeases (the index counts as applied); or, from the entry on
// that could not be applied here and now, ErrClosed, ErrDamaged or ErrStorage. It waits while MaxFrozen heads wait for
// the flusher and another must be frozen, and while the node's budget is spent twice.
func (s *Shard) Apply(entries []Entry) []error {
	out := make([]error, len(entries))
	for i := range entries {
		out[i] = s.applyEntry(&entries[i])
	}
	s.settle()
	return out
}

func (s *Shard) applyEntry(e *Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if e.Index <= s.state.applied.Index {
		return nil
	}
	var outcome error
	if e.Config {
		s.state.configuration, s.state.configurationIndex = slices.Clone(e.Data), e.Index
		s.touch()
	} else {
		outcome = s.commands(e)
	}
	s.state.applied = Position{e.Index, e.Term}
	if len(s.cuts) > 0 || s.active.bytes > s.o.MaxHeadBytes || len(s.active.deletes) >= maxHeadDeletes {
		if err := s.freezeWaiting(); err != nil {
			return err
		}
	}
	return outcome
}

// touch notes that the active head holds something that is worth a flush.
func (s *Shard) touch() {
	if !s.active.dirty {
		s.active.dirty = true
		s.active.since = time.Now()
		s.poke() // the flusher learns when the head will be too old
	}
}

// commands applies the commands of one entry in order. It stops at one that cannot be decoded, as every replica does. A
// lease that does not fit any more stops nothing: leases run out by each replica's own clock, so that others may take it.
func (s *Shard) commands(e *Entry) (outcome error) {
	for data := e.Data; len(data) > 0; {
		c, rest, err := cutFrame(data)
		if err != nil {
			return fmt.Errorf("apply %d: %w", e.Index, err)
		}
		data = rest
		if c.Kind == KindNoop {
			continue
		}
		if c.Kind == KindPut {
			err = s.applyPut(c.Body)
		} else {
			err = s.applyOther(e, c)
		}
		s.touch()
		switch {
		case errors.Is(err, ErrTooManyLeases):
			outcome = fmt.Errorf("apply %d: %w", e.Index, err)
		case err != nil:
			return fmt.Errorf("apply %d: %w", e.Index, err)
		}
	}
	return outcome
}

// applyPut appends the rows of a put to the active head.
func (s *Shard) applyPut(body []byte) error {
	r := &s.rows
	r.reset(body)
	s.named = s.named[:0]
	for {
		ok, err := r.next()
		if err != nil || !ok {
			return err
		}
		if r.named {
			s.named = append(s.named, s.active.at(r.key))
		}
		s.active.append(s.named[r.series], r.schema, r.time, r.numbers, r.strings)
	}
}

func (s *Shard) applyOther(e *Entry, c Command) error {
	switch c.Kind {
	case KindDelete:
		d, err := c.Delete()
		if err != nil {
			return err
		}
		s.active.delete(d.span())
	case KindRetain:
		r, err := c.Retain()
		if err != nil {
			return err
		}
		s.active.delete(r.span(s.windowNs))
	case KindCut:
		cut, err := c.Cut()
		if err != nil {
			return err
		}
		return s.applyCut(e, cut)
	case KindLease:
		l, err := c.Lease()
		if err != nil {
			return err
		}
		return s.leases.take(Record{ID: l.ID, Purpose: l.Purpose, Index: e.Index, From: l.floor(e.Index), TTL: l.TTL, Log: true}, time.Now())
	case KindEnd:
		id, err := c.End()
		if err != nil {
			return err
		}
		delete(s.leases.byID, id)
		s.unpin(id)
	case KindFormat:
		v, err := c.FormatVersion()
		if err != nil {
			return err
		}
		if v < s.state.blockFormat || v > blocks.FormatVersion {
			return fmt.Errorf("%w: block format %d, in force %d, known %d", ErrBadCommand, v, s.state.blockFormat, blocks.FormatVersion)
		}
		s.state.blockFormat = v
	default:
		return fmt.Errorf("%w: %s", ErrBadCommand, c.Kind)
	}
	return nil
}

// span is what a delete removes; exact: of one series.
func (d Delete) span() (r rangeDelete, exact bool) {
	prefix := collectionPrefix(d.Database, d.Collection)
	if d.Device != "" {
		prefix = d.Key()
	}
	return rangeDelete{string(prefix), d.From, d.To}, d.Device != ""
}

// span is what a retention removes.
func (r Retain) span(windowNs int64) (removed rangeDelete, exact bool) {
	return rangeDelete{string(collectionPrefix(r.Database, "")), MinTime, WindowStart(r.Before, windowNs)}, false
}

// applyCut takes the cut's lease and notes that the head has to be frozen when the entry is done. A cut that was in the
// log before this process started is not pinned: whoever made it has given up on this replica, or will ask again.
func (s *Shard) applyCut(e *Entry, cut Cut) error {
	r := Record{ID: cut.ID, Purpose: cut.Purpose, Index: e.Index, TTL: cut.TTL, Log: cut.HoldLog, View: true}
	if err := s.leases.take(r, time.Now()); err != nil {
		return err
	}
	if e.Index <= s.o.ReplayThrough {
		s.forget(cut.ID)
		return nil
	}
	s.cuts = append(s.cuts, cut.ID)
	return nil
}

// freezeWaiting freezes the active head, after waiting for room. It releases the lock meanwhile; only the flusher may
// freeze then, and the state stays what it is, because only Apply changes it.
func (s *Shard) freezeWaiting() error {
	for len(s.frozen) >= MaxFrozen {
		changed := s.changed
		s.mu.Unlock()
		<-changed
		s.mu.Lock()
		if s.err != nil {
			return s.err
		}
	}
	s.freeze()
	s.poke()
	return nil
}

// freeze puts the active head, even an empty one, behind the frozen ones. The caller holds the lock and saw room.
func (s *Shard) freeze() {
	h := s.active
	h.frozen = true
	h.state = s.state
	h.state.leases = s.leases.records()
	h.cuts = s.cuts
	s.cuts = nil
	s.frozen = append(s.frozen, h)
	s.active = newHead()
}

// settle accounts for the memory that a call of Apply took, and waits when the node has spent its budget twice.
func (s *Shard) settle() {
	s.account()
	s.budget.relieve()
	for {
		freed, spent := s.budget.spent()
		if !spent || s.memory.Load() == 0 {
			return
		}
		s.relieving.Store(true)
		s.poke()
		select {
		case <-freed:
		case <-s.stop:
			return
		}
	}
}

// account tells the budget what the heads take now.
func (s *Shard) account() {
	s.mu.Lock()
	bytes := s.active.bytes
	for _, h := range s.frozen {
		bytes += h.bytes
	}
	delta := bytes - s.memory.Swap(bytes)
	s.mu.Unlock()
	if delta != 0 {
		s.budget.add(delta)
	}
}
