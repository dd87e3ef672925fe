package blocks

import (
	"slices"
	"sync"
)

// Merge fills dst with the points of all layers: at one time the fields merge, and a later layer wins per field name (a
// later value of another kind replaces the earlier one). dst must not be one of the layers and shares no memory with
// them afterwards, except the text of strings.
//
//  1. The times of dst are the union of the layers' times.
//  2. Each layer becomes runs: stretches of its rows that stay together in dst.
//  3. The columns of dst are the union of the layers' columns; each is filled layer by layer, a run at a time.
//
// The work goes with the rows of all layers and of dst, not with rows times fields times layers; nothing is allocated
// per row.
func Merge(dst *Columns, layers ...*Columns) {
	m := mergers.Get().(*merger)
	defer m.release()
	dst.Reset()
	for _, layer := range layers {
		if layer.Len() > 0 {
			m.unite(dst, layer.Times)
			m.sources = append(m.sources, source{cols: layer.Cols})
		}
	}
	next := 0
	for _, layer := range layers {
		if layer.Len() > 0 {
			from := len(m.runs)
			m.runs = appendRuns(m.runs, layer.Times, dst.Times)
			m.sources[next].lo, m.sources[next].hi = from, len(m.runs)
			next++
		}
	}
	m.fill(dst)
}

// run: the rows src..src+n-1 of a source are the rows dst..dst+n-1 of the result.
type run struct{ src, dst, n int }

// source is one layer: its columns and its runs, merger.runs[lo:hi]. Where two runs meet in a row, the later one wins.
type source struct {
	cols   []Column
	lo, hi int
}

// merger is the scratch memory of one merge.
type merger struct {
	times   []int64
	runs    []run
	sources []source
	keys    []columnKey
	present Bitmap
}

type columnKey struct {
	name string
	kind Kind
}

var mergers = sync.Pool{New: func() any { return new(merger) }}

func (m *merger) release() {
	clear(m.sources)
	clear(m.keys)
	m.runs, m.sources, m.keys = m.runs[:0], m.sources[:0], m.keys[:0]
	mergers.Put(m)
}

// unite adds times to those of dst.
func (m *merger) unite(dst *Columns, times []int64) {
	n := len(dst.Times)
	if n == 0 || dst.Times[n-1] < times[0] {
		dst.Times = append(dst.Times, times...)
		return
	}
	old := dst.Times
	i, _ := slices.BinarySearch(old, times[0])
	out, j := append(m.times[:0], old[:i]...), 0
	for i < len(old) && j < len(times) {
		a, b := old[i], times[j]
		out = append(out, min(a, b))
		if a <= b {
			i++
		}
		if b <= a {
			j++
		}
	}
	out = append(append(out, old[i:]...), times[j:]...)
	m.times, dst.Times = old, out
}

// appendRuns appends the runs of a layer with these times in union, which has them all.
func appendRuns(runs []run, times, union []int64) []run {
	at, _ := slices.BinarySearch(union, times[0])
	if end := at + len(times); end <= len(union) && union[end-1] == times[len(times)-1] {
		return append(runs, run{0, at, len(times)}) // as many rows between the ends: the same ones
	}
	for i := 0; i < len(times); {
		for union[at] != times[i] {
			at++
		}
		n := 1
		for i+n < len(times) && union[at+n] == times[i+n] {
			n++
		}
		runs = append(runs, run{i, at, n})
		i, at = i+n, at+n
	}
	return runs
}

// fill makes the columns of dst, whose times are set, from the sources.
func (m *merger) fill(dst *Columns) {
	for i := range m.sources {
		m.addKeys(m.sources[i].cols)
	}
	for i := 0; i < len(m.keys); {
		kinds := 1
		for i+kinds < len(m.keys) && m.keys[i+kinds].name == m.keys[i].name {
			kinds++
		}
		if kinds == 1 {
			m.fillColumn(dst, m.keys[i])
		} else {
			m.fillMixed(dst, m.keys[i:i+kinds])
		}
		i += kinds
	}
	dst.normalize()
}

// addKeys adds the columns to the sorted keys.
func (m *merger) addKeys(cols []Column) {
	at := 0
	for i := range cols {
		k := columnKey{cols[i].Name, cols[i].Kind}
		for at < len(m.keys) && m.keys[at].less(k) {
			at++
		}
		if at == len(m.keys) || m.keys[at] != k {
			m.keys = slices.Insert(m.keys, at, k)
		}
		at++
	}
}

func (k columnKey) less(o columnKey) bool {
	return k.name < o.name || k.name == o.name && k.kind < o.kind
}

// fillColumn appends to dst the column of a field that has one kind in all sources.
func (m *merger) fillColumn(dst *Columns, key columnKey) {
	n := dst.Len()
	col := dst.zeroColumn(key)
	m.present = resize(m.present, bitmapWords(n))
	clear(m.present)
	for _, s := range m.sources {
		if src := findColumn(s.cols, key); src != nil {
			for _, r := range m.runs[s.lo:s.hi] {
				col.copyRun(src, r, m.present)
			}
		}
	}
	if m.present.Count(n) == n {
		col.Present = nil
	} else {
		col.Present = append(col.Present, m.present...)
	}
}

// zeroColumn appends a column of zeros, with no bitmap yet.
func (c *Columns) zeroColumn(key columnKey) *Column {
	col := c.nextColumn(key.name, key.kind)
	if key.kind == String {
		col.Strs = padded(col.Strs, c.Len())
	} else {
		col.Nums = padded(col.Nums, c.Len())
	}
	return col
}

// copyRun copies the present rows of a run and marks them.
func (col *Column) copyRun(src *Column, r run, present Bitmap) {
	if src.Present == nil {
		if col.Kind == String {
			copy(col.Strs[r.dst:r.dst+r.n], src.Strs[r.src:])
		} else if r.n == 1 {
			col.Nums[r.dst] = src.Nums[r.src]
		} else {
			copy(col.Nums[r.dst:r.dst+r.n], src.Nums[r.src:])
		}
		present.setRange(r.dst, r.n)
		return
	}
	for i := range r.n {
		if src.Present.Has(r.src + i) {
			if col.Kind == String {
				col.Strs[r.dst+i] = src.Strs[r.src+i]
			} else {
				col.Nums[r.dst+i] = src.Nums[r.src+i]
			}
			present.Set(r.dst + i)
		}
	}
}

func findColumn(cols []Column, key columnKey) *Column {
	c := Columns{Cols: cols}
	if i, ok := c.find(key.name, key.kind); ok {
		return &cols[i]
	}
	return nil
}
