package storage

import (
	"cmp"
	"slices"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// sweep merges the layers of one series and window into chunks of ascending (or descending) time, in bounded memory.
//
//  1. Layers wait sorted by where they begin. Those that have begun are loaded and active.
//  2. A chunk reaches from the sweep line to where the next waiting layer begins, and no further than the budget of
//     rows allows. Within it only active layers have rows: merge their slices in the merge order.
//  3. The line moves to the chunk's end; layers that end before it are released.
//
// Layers that do not overlap, the common case, are thus decoded one at a time and passed through. Rejected: a heap
// over rows, which is simpler but merges row by row what is nearly always whole blocks.
type sweep struct {
	waiting []layer
	active  []*layer
	lo, hi  int64 // what is left to emit, [lo, hi)
	down    bool  // newest first
	rows    int   // budget of a chunk

	merged  blocks.Columns
	slices  []blocks.Columns
	ordered []*blocks.Columns
}

// newSweep starts at lo, or at hi when down. It owns the layers until release.
func newSweep(layers []layer, lo, hi int64, down bool, rows int) *sweep {
	w := new(sweep)
	w.start(layers, lo, hi, down, rows)
	return w
}

// start is newSweep of one that was released, or never used.
func (w *sweep) start(layers []layer, lo, hi int64, down bool, rows int) {
	w.waiting, w.lo, w.hi, w.down, w.rows = layers, lo, hi, down, max(1, min(rows, blocks.MaxRows))
	slices.SortStableFunc(w.waiting, func(a, b layer) int {
		if down {
			return cmp.Compare(b.last, a.last)
		}
		return cmp.Compare(a.first, b.first)
	})
}

// next is the next chunk, valid until the call after; nil at the end.
func (w *sweep) next() (*blocks.Columns, error) {
	for {
		w.retire()
		if err := w.admit(); err != nil {
			return nil, err
		}
		if len(w.active) == 0 || w.lo >= w.hi {
			return nil, nil
		}
		from, to := w.chunk()
		c := w.merge(from, to)
		w.advance(from, to)
		if c.Len() > 0 {
			return c, nil
		}
	}
}

// admit activates the layers that the line has reached; when none is active the line jumps to the next.
func (w *sweep) admit() error {
	for len(w.waiting) > 0 {
		l := &w.waiting[0]
		if len(w.active) == 0 {
			if w.down {
				w.hi = min(w.hi, l.last+1)
			} else {
				w.lo = max(w.lo, l.first)
			}
		}
		if w.down && l.last+1 < w.hi || !w.down && l.first > w.lo {
			return nil
		}
		w.waiting = w.waiting[1:]
		if l.last < w.lo || l.first >= w.hi {
			continue
		}
		if err := l.load(); err != nil {
			return err
		}
		w.active = append(w.active, l)
		slices.SortFunc(w.active, func(a, b *layer) int { return cmp.Compare(a.order, b.order) })
	}
	return nil
}

func (w *sweep) chunk() (from, to int64) {
	from, to = w.lo, w.hi
	rows := 0
	for _, l := range w.active {
		rows += max(1, len(l.runs))
	}
	rows = max(1, w.rows/rows)
	if w.down {
		if len(w.waiting) > 0 {
			from = max(from, w.waiting[0].last+1)
		}
		for _, l := range w.active {
			from = l.clampDown(from, to, rows)
		}
		return from, to
	}
	if len(w.waiting) > 0 {
		to = min(to, w.waiting[0].first)
	}
	for _, l := range w.active {
		to = l.clampUp(from, to, rows)
	}
	return from, to
}

func (w *sweep) merge(from, to int64) *blocks.Columns {
	if len(w.slices) < len(w.active) {
		w.slices = make([]blocks.Columns, len(w.active))
	}
	w.ordered = w.ordered[:0]
	for i, l := range w.active {
		if c := l.columns(&w.slices[i], from, to); c.Len() > 0 {
			w.ordered = append(w.ordered, c)
		}
	}
	if len(w.ordered) == 1 {
		return w.ordered[0]
	}
	blocks.Merge(&w.merged, w.ordered...)
	return &w.merged
}

// advance moves the line past the chunk. The layers behind it stay until the next call, since the chunk may be the
// columns of one of them.
func (w *sweep) advance(from, to int64) {
	if w.down {
		w.hi = from
	} else {
		w.lo = to
	}
}

// retire releases the layers behind the line.
func (w *sweep) retire() {
	kept := w.active[:0]
	for _, l := range w.active {
		if w.down && l.first >= w.hi || !w.down && l.last < w.lo {
			l.release()
			continue
		}
		kept = append(kept, l)
	}
	w.active = kept
}

// release gives back the memory of all layers; the last chunk is invalid afterwards.
func (w *sweep) release() {
	for _, l := range w.active {
		l.release()
	}
	clear(w.ordered)
	w.active, w.waiting = nil, nil
}
