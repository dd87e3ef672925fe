package storage

import (
	"cmp"
	"slices"
	"sync"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// layer is one source of a series' points within a window: a part, or what one head has of it. A sweep merges layers.
type layer struct {
	order       int   // place in the merge order: later ones win
	first, last int64 // no row lies outside, ns

	block []byte // of a part; aliases the file, valid in its transaction
	spans []span // of a part or head: removed by newer heads
	runs  []run  // of a head, ordered

	cols *blocks.Columns // the part, once loaded
}

// columnsPool keeps decoded columns: reading one part takes about 130 KiB at three fields.
var columnsPool = sync.Pool{New: func() any { return new(blocks.Columns) }}

// load decodes a part and removes what newer deletes match. Heads need no loading.
func (l *layer) load() error {
	if l.runs != nil || l.cols != nil {
		return nil
	}
	l.cols = columnsPool.Get().(*blocks.Columns)
	if err := blocks.Decode(l.block, l.cols); err != nil {
		return err
	}
	for _, s := range l.spans {
		l.cols.DeleteRange(s.from, s.to)
	}
	return nil
}

// release gives the memory back.
func (l *layer) release() {
	if l.cols != nil {
		columnsPool.Put(l.cols)
		l.cols = nil
	}
}

// clampUp lowers hi until no run of the layer has more than n rows in [lo, hi).
func (l *layer) clampUp(lo, hi int64, n int) int64 {
	if l.cols != nil {
		return clampUp(l.cols.Times, lo, hi, n)
	}
	for i := range l.runs {
		hi = clampUp(l.runs[i].times, lo, hi, n)
	}
	return hi
}

func clampUp(times []int64, lo, hi int64, n int) int64 {
	i, _ := slices.BinarySearch(times, lo)
	if i+n < len(times) && times[i+n] < hi {
		return times[i+n]
	}
	return hi
}

// clampDown raises lo until no run of the layer has more than n rows in [lo, hi).
func (l *layer) clampDown(lo, hi int64, n int) int64 {
	if l.cols != nil {
		return clampDown(l.cols.Times, lo, hi, n)
	}
	for i := range l.runs {
		lo = clampDown(l.runs[i].times, lo, hi, n)
	}
	return lo
}

func clampDown(times []int64, lo, hi int64, n int) int64 {
	j, _ := slices.BinarySearch(times, hi)
	if j > n && times[j-n] > lo {
		return times[j-n]
	}
	return lo
}

// columns returns the layer's rows in [lo, hi): its own columns when that is all of them, else a copy in dst.
func (l *layer) columns(dst *blocks.Columns, lo, hi int64) *blocks.Columns {
	if l.cols != nil {
		i, j := l.cols.Rows(lo, hi)
		if i == 0 && j == l.cols.Len() {
			return l.cols
		}
		l.cols.CopyRows(dst, i, j)
		return dst
	}
	if len(l.runs) == 1 {
		i, j := l.runs[0].between(lo, hi)
		l.runs[0].columns(dst, i, j)
	} else {
		runsColumns(dst, l.runs, lo, hi)
	}
	for _, s := range l.spans {
		dst.DeleteRange(s.from, s.to)
	}
	return dst
}

// runsColumns merges the rows of several runs in order of time, then of arrival.
func runsColumns(dst *blocks.Columns, runs []run, lo, hi int64) {
	type place struct {
		time     int64
		seq      uint32
		run, row int32
	}
	var places []place
	for n := range runs {
		i, j := runs[n].between(lo, hi)
		for row := i; row < j; row++ {
			places = append(places, place{runs[n].times[row], runs[n].seq(row), int32(n), int32(row)})
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		if c := cmp.Compare(a.time, b.time); c != 0 {
			return c
		}
		return cmp.Compare(a.seq, b.seq)
	})
	var b blocks.Builder
	var fields []Field
	for _, p := range places {
		fields = runs[p.run].fields(fields[:0], int(p.row))
		b.Append(p.time, fields)
	}
	c := b.Columns()
	c.CopyRows(dst, 0, c.Len())
}

// headLayers makes a layer of the part of ordered runs that lies in [from, to); false when there is none.
func headLayer(runs []run, order int, spans []span, from, to int64) (layer, bool) {
	l := layer{order: order, spans: spans, first: NoEnd, last: MinTime}
	for i := range runs {
		lo, hi := runs[i].between(from, to)
		if lo == hi {
			continue
		}
		l.first = min(l.first, runs[i].times[lo])
		l.last = max(l.last, runs[i].times[hi-1])
		l.runs = append(l.runs, runs[i])
	}
	return l, len(l.runs) > 0
}
