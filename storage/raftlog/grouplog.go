package raftlog

import (
	"slices"
	"sync"
	"sync/atomic"
)

// groupLog is what the shared engine knows of one group's log, open or not.
type groupLog struct {
	id     uint32
	isOpen atomic.Bool

	// writer is held, by sending, while a request of this log is under way: by Raft's appends and
	// truncations, by the owner's Reset and Drop, and by the reclaimer. A channel and not a mutex, since
	// it is held across a wait for the disk (and blocks durably in virtual time).
	writer chan struct{}
	parts  []part // the writer's own, reused
	wanted uint64 // the writer's own: compaction was asked up to here

	applied atomic.Pointer[func() uint64] // set by the owner of the open log

	mu          sync.RWMutex // guards the rest; held for memory only
	index       index
	life        uint32
	generation  uint32
	next        uint64   // while the index is empty: the only index that may be appended; 0: any
	anchor      *segment // holds the record that says life, generation and next
	bad         []badEntry
	tailUnknown bool
	scanned     bool              // nothing has touched the log since open has read all of it
	pinned      map[uint64]pinned // entries kept in memory because they are not applied yet
}

// badEntry is an entry whose record failed its CRC at open.
type badEntry struct {
	index uint64
	seg   *segment
	off   uint32
}

func newGroupLog(id uint32) *groupLog {
	return &groupLog{id: id, writer: make(chan struct{}, 1)}
}

func (g *groupLog) lock()   { g.writer <- struct{}{} }
func (g *groupLog) unlock() { <-g.writer }

// nextIndex needs mu.
func (g *groupLog) nextIndex() uint64 {
	if g.index.empty() {
		return g.next
	}
	return g.index.last() + 1
}

// needsAnchor: the state is more than the entries tell. Needs mu.
func (g *groupLog) needsAnchor() bool {
	return g.anchor != nil && (g.life > 0 || g.generation > 0 || g.index.empty())
}

// apply takes a durable record into account, at replay and at run time alike. Needs mu.
func (g *groupLog) apply(e dirEntry, seg *segment, off uint32) {
	if e.life < g.life {
		return
	}
	if e.life > g.life { // a new life; at replay possibly one whose reset was lost
		g.index.dropBelow(^uint64(0))
		g.life, g.next = e.life, 0
	}
	switch e.kind {
	case kindAppend:
		if !e.moved {
			g.index.dropFrom(e.a) // nothing, unless a truncation was lost
		}
		g.index.put(e.a, seg, off, int64(e.size))
	case kindTruncate:
		g.truncate(e.a, e.b, seg)
	case kindReset:
		g.generation = e.a32()
		g.anchor = seg
		if e.moved {
			g.index.dropBelow(e.b)
		} else {
			g.index.dropBelow(^uint64(0))
			g.tailUnknown = false
		}
		g.next = e.b
	}
}

func (e dirEntry) a32() uint32 { return uint32(min(e.a, 1<<32-1)) }

// truncate keeps [first, next); next 0 keeps the end.
func (g *groupLog) truncate(first, next uint64, seg *segment) {
	end := g.nextIndex()
	g.index.dropBelow(first)
	if next > 0 {
		g.index.dropFrom(next)
		end = next
	}
	if g.index.empty() {
		g.next = max(end, first)
		if g.anchor == nil || g.life == 0 && g.generation == 0 {
			g.anchor = seg // else that of the reset stays: it is older, and its copy will say next, too
		}
	}
}

// noteBad remembers an unreadable entry.
func (g *groupLog) noteBad(index uint64, seg *segment, off uint32) {
	g.bad = append(g.bad, badEntry{index, seg, off})
}

// firstBad returns the first entry known to be unreadable or missing. Needs mu for writing.
func (g *groupLog) firstBad() (uint64, *segment, uint32, bool) {
	g.bad = slices.DeleteFunc(g.bad, func(b badEntry) bool {
		seg, off, ok := g.index.lookup(b.index)
		return !ok || seg != b.seg || off != b.off
	})
	var first badEntry
	for _, b := range g.bad {
		if first.index == 0 || b.index < first.index {
			first = b
		}
	}
	if hole, ok := g.index.hole(); ok && (first.index == 0 || hole < first.index) {
		return hole, nil, 0, true
	}
	return first.index, first.seg, first.off, first.index != 0
}
