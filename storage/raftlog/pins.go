package raftlog

import "bytes"

// pins bounds the memory of entries that have left the window before the state machine applied them, as
// when a group has no quorum and the others write on. Raft panics when it cannot read such an entry, and
// nothing else has its contents: so it is kept, and if its place on disk rots, written anew from here.
type pins struct {
	bound int64 // bytes
	// The committer's own:
	held   int64
	groups map[uint32]*groupLog // with pinned entries
}

type pinned struct {
	seg    *segment
	off    uint32
	record []byte
}

func (l *sharedLog) SetApplied(f func() uint64) { set(&l.g.applied, f) }

// pinUnapplied is called by the committer with a stretch of the log that leaves memory.
func (s *Shared) pinUnapplied(segment uint64, off int64, b []byte) {
	for id, g := range s.pins.groups {
		if s.prunePins(g); len(g.pinned) == 0 {
			delete(s.pins.groups, id)
		}
	}
	for len(b) > 0 {
		h, ok := parseBatchHeader(b, int64(len(b)))
		if !ok {
			return
		}
		// Entries of a batch of our own making: the walk cannot fail.
		_ = eachRecord(b[:h.length], h, func(e dirEntry, at int) error {
			if e.kind == kindAppend {
				s.pin(e, segment, uint32(off)+uint32(at), b[at:at+e.size])
			}
			return nil
		})
		b, off = b[h.length:], off+int64(h.length)
	}
}

func (s *Shared) pin(e dirEntry, segment uint64, off uint32, record []byte) {
	g := s.group(e.group)
	if g == nil {
		return
	}
	f := g.applied.Load()
	if f == nil {
		return
	}
	if e.a <= (*f)() || s.pins.held+int64(len(record)) > s.pins.bound {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	seg, at, live := g.index.lookup(e.a)
	if !live || seg.number != segment || at != off {
		return
	}
	if g.pinned == nil {
		g.pinned = make(map[uint64]pinned)
	}
	if old, held := g.pinned[e.a]; held {
		s.pins.held -= int64(len(old.record))
	}
	g.pinned[e.a] = pinned{seg, off, bytes.Clone(record)}
	s.pins.held += int64(len(record))
	if s.pins.groups == nil {
		s.pins.groups = make(map[uint32]*groupLog)
	}
	s.pins.groups[g.id] = g
}

// prunePins lets go what has been applied, deleted or moved.
func (s *Shared) prunePins(g *groupLog) {
	applied := get(&g.applied)
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, p := range g.pinned {
		if seg, off, live := g.index.lookup(i); i <= applied || !live || seg != p.seg || off != p.off {
			s.pins.held -= int64(len(p.record))
			delete(g.pinned, i)
		}
	}
}
