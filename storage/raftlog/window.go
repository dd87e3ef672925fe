package raftlog

import (
	"slices"
	"sort"
	"sync/atomic"
)

// slab is memory in which batches are built, one behind the other, and then kept for readers. Bytes of a
// written batch never change; readers may keep what points into it.
type slab struct {
	mem  []byte // never replaced
	used int    // by the gatherer, under its lock
}

// extent maps a stretch of the log's end to the slab that holds the same bytes.
type extent struct {
	segment uint64
	off     int64 // in the segment
	slab    *slab
	at      int          // the same place in the slab
	length  atomic.Int64 // grows while batches are added
	charge  int64        // memory that goes away with it
}

// window is the newest part of the log, in memory. The committer adds, anyone reads: readers take the
// list as it is, the committer replaces it. Extents are in log order.
type window struct {
	bound   int64                                     // bytes
	held    int64                                     // committer only
	evicted func(segment uint64, off int64, b []byte) // called by the committer for what leaves
	extents atomic.Pointer[[]*extent]
}

// add remembers a batch: n bytes of the slab, beginning at `at`.
func (w *window) add(segment uint64, off int64, s *slab, at int, n int) {
	var list []*extent
	if p := w.extents.Load(); p != nil {
		list = *p
	}
	charge := int64(len(s.mem))
	if len(list) > 0 {
		last := list[len(list)-1]
		have := last.length.Load()
		if last.segment == segment && last.slab == s && last.off+have == off && last.at+int(have) == at {
			last.length.Store(have + int64(n))
			return
		}
		if last.slab == s {
			charge = 0
		}
	}
	e := &extent{segment: segment, off: off, slab: s, at: at, charge: charge}
	e.length.Store(int64(n))
	w.held += charge
	drop := 0
	for w.held > w.bound && drop < len(list) {
		e := list[drop]
		w.held -= e.charge
		if w.evicted != nil {
			w.evicted(e.segment, e.off, e.slab.mem[e.at:e.at+int(e.length.Load())])
		}
		drop++
	}
	next := append(slices.Clone(list[drop:]), e)
	w.extents.Store(&next)
}

// find returns the log's bytes from this place to the end of the extent, nil if it is not in memory.
func (w *window) find(segment uint64, off int64) []byte {
	p := w.extents.Load()
	if p == nil {
		return nil
	}
	list := *p
	k := sort.Search(len(list), func(k int) bool {
		e := list[k]
		return e.segment > segment || e.segment == segment && e.off > off
	}) - 1
	if k < 0 {
		return nil
	}
	e := list[k]
	length := e.length.Load()
	if e.segment != segment || off >= e.off+length {
		return nil
	}
	from, to := e.at+int(off-e.off), e.at+int(length)
	return e.slab.mem[from:to:to]
}
