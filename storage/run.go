package storage

import (
	"cmp"
	"slices"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// run holds the rows of one series and one schema in a head, in order of arrival. Its arrays only grow: a copy of the
// struct, made under the shard's lock, shows a reader a state that later rows do not change.
type run struct {
	schema  *schema
	times   []int64
	numbers []uint64 // schema.numbers a row
	strings []string // schema.strings a row
	seqs    []uint32 // order of arrival among the series' runs; nil while there is only one
	sorted  bool     // times ascend strictly
}

// Growth of a run: from firstRows, doubling until doubleRows, then by half.
const (
	firstRows  = 4
	doubleRows = 256
)

// append adds a row and returns by how many bytes the run's memory grew.
func (r *run) append(time int64, numbers []uint64, strings [][]byte) (grown int64) {
	n := len(r.times)
	if n == cap(r.times) {
		grown = r.grow()
	}
	if n > 0 && time <= r.times[n-1] {
		r.sorted = false
	}
	r.times = append(r.times, time)
	r.numbers = append(r.numbers, numbers...)
	for i, b := range strings {
		s, copied := r.text(i, b)
		r.strings = append(r.strings, s)
		grown += copied
	}
	return grown
}

// text is the string of a value; the one above it in its column when they are equal, as they often are.
func (r *run) text(i int, b []byte) (string, int64) {
	if above := len(r.strings) - r.schema.strings; above >= 0 {
		if s := r.strings[above]; s == string(b) {
			return s, 0
		}
	}
	return string(b), int64(len(b))
}

func (r *run) grow() int64 {
	before := r.arrayBytes()
	n := max(firstRows, cap(r.times)+cap(r.times)/2)
	if cap(r.times) < doubleRows {
		n = max(firstRows, 2*cap(r.times))
	}
	r.times = withCap(r.times, n)
	r.numbers = withCap(r.numbers, n*r.schema.numbers)
	r.strings = withCap(r.strings, n*r.schema.strings)
	if r.seqs != nil {
		r.seqs = withCap(r.seqs, n)
	}
	return r.arrayBytes() - before
}

func withCap[T any](s []T, n int) []T {
	if n == 0 {
		return s
	}
	grown := make([]T, len(s), n)
	copy(grown, s)
	return grown
}

// arrayBytes is the memory of the arrays, without the texts.
func (r *run) arrayBytes() int64 {
	return int64(8*cap(r.times) + 8*cap(r.numbers) + 16*cap(r.strings) + 4*cap(r.seqs))
}

// bytes is the memory of the arrays and the texts; equal neighbours share one.
func (r *run) bytes() int64 {
	n := r.arrayBytes()
	for i, s := range r.strings {
		if above := i - r.schema.strings; above < 0 || r.strings[above] != s {
			n += int64(len(s))
		}
	}
	return n
}

// seq is the order of arrival of a row among the series' rows.
func (r *run) seq(row int) uint32 {
	if r.seqs == nil {
		return uint32(row)
	}
	return r.seqs[row]
}

// ordered is the run sorted by time, without the rows that a later row of the same time hides: they share a schema, so
// it hides them entirely. The receiver is not changed.
func (r *run) ordered() run {
	if r.sorted {
		return *r
	}
	type place struct {
		time int64
		row  int32
	}
	places := make([]place, len(r.times))
	for i, t := range r.times {
		places[i] = place{t, int32(i)}
	}
	slices.SortFunc(places, func(a, b place) int {
		if c := cmp.Compare(a.time, b.time); c != 0 {
			return c
		}
		return cmp.Compare(a.row, b.row)
	})
	rows := make([]int32, 0, len(places))
	for i, p := range places {
		if i+1 == len(places) || places[i+1].time != p.time {
			rows = append(rows, p.row)
		}
	}
	return r.pick(rows)
}

// pick is a run of the given rows, in that order, in new arrays. It counts as sorted if their times ascend.
func (r *run) pick(rows []int32) run {
	nn, ns := r.schema.numbers, r.schema.strings
	p := run{schema: r.schema, sorted: true, times: make([]int64, 0, len(rows))}
	if nn > 0 {
		p.numbers = make([]uint64, 0, nn*len(rows))
	}
	if ns > 0 {
		p.strings = make([]string, 0, ns*len(rows))
	}
	if r.seqs != nil {
		p.seqs = make([]uint32, 0, len(rows))
	}
	for _, row := range rows {
		i := int(row)
		if n := len(p.times); n > 0 && r.times[i] <= p.times[n-1] {
			p.sorted = false
		}
		p.times = append(p.times, r.times[i])
		p.numbers = append(p.numbers, r.numbers[i*nn:i*nn+nn]...)
		p.strings = append(p.strings, r.strings[i*ns:i*ns+ns]...)
		if r.seqs != nil {
			p.seqs = append(p.seqs, r.seqs[i])
		}
	}
	return p
}

// without is the run without the rows in [from, to), and whether there were any.
func (r *run) without(from, to int64) (run, bool) {
	hit := false
	for _, t := range r.times {
		if from <= t && t < to {
			hit = true
			break
		}
	}
	if !hit {
		return *r, false
	}
	var rows []int32
	for i, t := range r.times {
		if t < from || t >= to {
			rows = append(rows, int32(i))
		}
	}
	return r.pick(rows), true
}

// between is the range of rows with from <= time < to, of an ordered run.
func (r *run) between(from, to int64) (lo, hi int) {
	lo, _ = slices.BinarySearch(r.times, from)
	hi, _ = slices.BinarySearch(r.times[lo:], to)
	return lo, lo + hi
}

// columns fills dst with the rows lo..hi of an ordered run.
func (r *run) columns(dst *blocks.Columns, lo, hi int) {
	n := hi - lo
	dst.Times = append(dst.Times[:0], r.times[lo:hi]...)
	live := r.schema.sorted
	if cap(dst.Cols) < len(live) {
		dst.Cols = append(dst.Cols[:cap(dst.Cols)], make([]blocks.Column, len(live)-cap(dst.Cols))...)
	}
	dst.Cols = dst.Cols[:len(live)]
	for c, f := range live {
		col := &dst.Cols[c]
		col.Name, col.Kind, col.Present = f.name, f.kind, nil
		col.Nums, col.Strs = col.Nums[:0], col.Strs[:0]
		if f.kind == blocks.String {
			stride := r.schema.strings
			for i, at := 0, lo*stride+f.slot; i < n; i, at = i+1, at+stride {
				col.Strs = append(col.Strs, r.strings[at])
			}
			continue
		}
		stride := r.schema.numbers
		col.Nums = slices.Grow(col.Nums, n)[:n]
		for i, at := 0, lo*stride+f.slot; i < n; i, at = i+1, at+stride {
			col.Nums[i] = r.numbers[at]
		}
	}
}

// fields appends the fields of a row to dst.
func (r *run) fields(dst []Field, row int) []Field {
	for _, f := range r.schema.sorted {
		v := blocks.Value{Kind: f.kind}
		if f.kind == blocks.String {
			v.Str = r.strings[row*r.schema.strings+f.slot]
		} else {
			v.Num = r.numbers[row*r.schema.numbers+f.slot]
		}
		dst = append(dst, Field{Name: f.name, Value: v})
	}
	return dst
}
