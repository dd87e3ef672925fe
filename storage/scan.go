package storage

import (
	"context"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// Query says what Scan reads: one series, or all of a collection (Device empty).
type Query struct {
	Series
	From, To   int64    // ns, To exclusive; NoEnd for no end
	Fields     []string // nil: all; rows that have none of them are left out
	Descending bool     // newest first: chunks come newest first, rows within a chunk still ascend
	Limit      int      // rows a series; 0: all
}

// Scan yields the points that match in chunks of at most blocks.MaxRows rows, one series after the other in key order.
// Of one series it shows one moment, at or after the call. Columns are valid during the call of yield, whose error ends
// the scan and is returned.
func (s *Shard) Scan(ctx context.Context, q Query, yield func(Series, *blocks.Columns) error) error {
	if q.From >= q.To {
		return s.Err()
	}
	if q.Device != "" {
		return s.scanSeries(ctx, q, yield)
	}
	all, err := s.Series(q.Database, q.Collection)
	if err != nil {
		return err
	}
	for _, series := range all {
		one := q
		one.Series = series
		if err := s.scanSeries(ctx, one, yield); err != nil {
			return err
		}
	}
	return nil
}

// seriesScan is the walk over one series: from window to window, over a file transaction and copies of what the heads
// have, taken at the same moment.
type seriesScan struct {
	shard  *Shard
	q      Query
	key    []byte
	slot   uint8
	tx     *bolt.Tx
	reader *reader
	heads  []scanHead // oldest first
	fields map[string]bool
	left   int // rows until the limit; negative: no limit
	budget int // rows of a chunk

	window int64 // next to look at
	open   int64 // of the sweep
	ended  bool
	sweep  *sweep // of the current window; nil between windows
	chunk  blocks.Columns
}

// scanHead is what one head has of a series.
type scanHead struct {
	head  *head
	runs  []run
	spans []span // its deletes: they concern older layers
}

func (s *Shard) scanSeries(ctx context.Context, q Query, yield func(Series, *blocks.Columns) error) error {
	sc := seriesScan{shard: s, q: q, key: q.Key(), left: -1, budget: blocks.MaxRows}
	sc.slot = SlotOf(sc.key)
	if q.Limit > 0 {
		sc.left, sc.budget = q.Limit, min(q.Limit, blocks.MaxRows)
	}
	if q.Fields != nil {
		sc.fields = make(map[string]bool, len(q.Fields))
		for _, f := range q.Fields {
			sc.fields[f] = true
		}
	}
	if err := sc.start(); err != nil {
		return fmt.Errorf("scan %s: %w", q.Series, err)
	}
	defer s.file.end(sc.tx)
	defer sc.closeSweep()
	for sc.left != 0 {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("scan %s: %w", q.Series, err)
		}
		if s.isClosing() {
			return fmt.Errorf("scan %s: %w", q.Series, ErrClosed)
		}
		var c *blocks.Columns
		err := s.file.guard("scan", func() (err error) {
			sc.reader.pages.forget() // the one before was read when its receiver liked
			c, err = sc.next()
			return sc.reader.blame(sc.reader.key, err)
		})
		if err != nil {
			return fmt.Errorf("scan %s: %w", q.Series, err)
		}
		if c == nil {
			return nil
		}
		if c = sc.filter(c); c.Len() == 0 {
			continue
		}
		if err := yield(q.Series, c); err != nil {
			return err
		}
	}
	return nil
}

// start takes the moment that the scan shows. The transaction begins under the lock that orders commits with heads.
func (sc *seriesScan) start() error {
	s := sc.shard
	s.mu.RLock()
	if s.err != nil {
		defer s.mu.RUnlock()
		return s.err
	}
	tx, err := s.file.begin()
	if err == nil {
		for _, h := range s.frozen {
			sc.snapshot(h)
		}
		sc.snapshot(s.active)
	}
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	sc.tx = tx
	err = s.file.guard("scan", func() error {
		sc.reader = newReader(s.file, tx)
		return nil
	})
	if err != nil {
		s.file.end(tx)
		return err
	}
	for i := range sc.heads {
		s.orderRuns(sc.heads[i].head, sc.key, sc.heads[i].runs)
	}
	sc.window = WindowOf(sc.q.From, s.windowNs)
	if sc.q.Descending {
		sc.window = WindowOf(sc.q.To-1, s.windowNs)
	}
	return nil
}

func (sc *seriesScan) snapshot(h *head) {
	at := scanHead{head: h, runs: h.snapshot(sc.key), spans: h.spans(nil, sc.key)}
	if at.runs != nil || at.spans != nil {
		sc.heads = append(sc.heads, at)
	}
}

// orderRuns sorts runs that are not sorted, and leaves the result in the head for the next reader.
func (s *Shard) orderRuns(h *head, key []byte, runs []run) {
	for i := range runs {
		if runs[i].sorted {
			continue
		}
		sorted := runs[i].ordered()
		s.mu.Lock()
		h.install(key, &runs[i], &sorted)
		s.mu.Unlock()
		runs[i] = sorted
	}
}

// next is the next chunk, before filter and limit; nil at the end.
func (sc *seriesScan) next() (*blocks.Columns, error) {
	for {
		if sc.sweep != nil {
			c, err := sc.sweep.next()
			if err == nil && c != nil {
				err = sc.distrusted(sc.open, sc.open)
			}
			if err != nil || c != nil {
				return c, err
			}
			sc.closeSweep()
		}
		if sc.ended {
			return nil, nil
		}
		if err := sc.openWindow(); err != nil {
			return nil, err
		}
	}
}

func (sc *seriesScan) closeSweep() {
	if sc.sweep != nil {
		sc.sweep.release()
		sc.sweep = nil
	}
}

// openWindow finds the next window with points and begins its sweep; or sets ended.
func (sc *seriesScan) openWindow() error {
	windowNs := sc.shard.windowNs
	window, ok, err := sc.findWindow()
	if err == nil {
		err = sc.trusted(window, ok)
	}
	if err != nil {
		return err
	}
	if !ok {
		sc.ended = true
		return nil
	}
	lo := max(sc.q.From, WindowStart(window, windowNs))
	hi := min(sc.q.To, windowEnd(window, windowNs))
	parts, err := sc.reader.parts(window, sc.slot, sc.key)
	if err != nil {
		return err
	}
	parts = slices.DeleteFunc(parts, func(p part) bool { return p.header.Last < lo || p.header.First >= hi })
	layers := partLayers(parts, sc.spansFrom(0))
	for i, h := range sc.heads {
		if l, has := headLayer(h.runs, len(parts)+i, sc.spansFrom(i+1), lo, hi); has {
			layers = append(layers, l)
		}
	}
	sc.open = window
	sc.sweep = newSweep(layers, lo, hi, sc.q.Descending, sc.budget)
	if sc.q.Descending {
		sc.ended = lo <= sc.q.From
		sc.window = window - 1
	} else {
		sc.ended = hi >= sc.q.To
		sc.window = window + 1
	}
	return nil
}

// trusted makes sure of all windows up to the one that was found, the empty ones too, and that the file is still there.
func (sc *seriesScan) trusted(window int64, ok bool) error {
	first, last := sc.window, window
	switch {
	case sc.q.Descending && ok:
		first, last = window, sc.window
	case sc.q.Descending:
		first, last = WindowOf(sc.q.From, sc.shard.windowNs), sc.window
	case !ok:
		last = WindowOf(sc.q.To-1, sc.shard.windowNs)
	}
	if err := sc.distrusted(first, last); err != nil {
		return err
	}
	return sc.shard.file.fresh()
}

// distrusted is the damage of a leaf of the series in some windows; nil when all may be served.
func (sc *seriesScan) distrusted(first, last int64) error {
	leaf, why := sc.shard.bad.between(first, last, sc.slot)
	if why == nil {
		return nil
	}
	return &DamageError{Path: sc.shard.o.Path, Leaf: leaf, Series: sc.q.Series, Err: why}
}

// spansFrom are the deletes of the heads from number i on.
func (sc *seriesScan) spansFrom(i int) []span {
	var spans []span
	for _, h := range sc.heads[i:] {
		spans = append(spans, h.spans...)
	}
	return spans
}

// findWindow is the next window, in the direction of the scan and within its range, that the file or a head has.
func (sc *seriesScan) findWindow() (window int64, ok bool, err error) {
	windowNs := sc.shard.windowNs
	if sc.q.Descending {
		window, ok, err = sc.reader.seekDown(sc.window, sc.slot, sc.key)
		top := windowEnd(sc.window, windowNs)
		for _, h := range sc.heads {
			for i := range h.runs {
				if _, n := h.runs[i].between(MinTime, top); n > 0 {
					if w := WindowOf(h.runs[i].times[n-1], windowNs); !ok || w > window {
						window, ok = w, true
					}
				}
			}
		}
		return window, ok && window >= WindowOf(sc.q.From, windowNs), err
	}
	window, ok, err = sc.reader.seekUp(sc.window, sc.slot, sc.key)
	for _, h := range sc.heads {
		if at, has := firstFrom(h.runs, WindowStart(sc.window, windowNs)); has {
			if w := WindowOf(at, windowNs); !ok || w < window {
				window, ok = w, true
			}
		}
	}
	return window, ok && window <= WindowOf(sc.q.To-1, windowNs), err
}

// filter keeps the wanted fields and what the limit leaves.
func (sc *seriesScan) filter(c *blocks.Columns) *blocks.Columns {
	if sc.fields != nil {
		c.CopyRows(&sc.chunk, 0, c.Len())
		sc.chunk.Cols = slices.DeleteFunc(sc.chunk.Cols, func(col blocks.Column) bool { return !sc.fields[col.Name] })
		sc.chunk.DropEmptyRows()
		c = &sc.chunk
	}
	if sc.left < 0 {
		return c
	}
	if n := c.Len(); n > sc.left {
		from := 0
		if sc.q.Descending {
			from = n - sc.left
		}
		rest := new(blocks.Columns)
		c.CopyRows(rest, from, from+sc.left)
		c = rest
	}
	sc.left -= c.Len()
	return c
}
