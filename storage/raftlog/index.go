package raftlog

import (
	"slices"
	"sort"
)

// run is a stretch of consecutive entries of one group in one segment.
type run struct {
	seg   *segment
	first uint64
	offs  []uint32 // place of each record in the segment
	bytes int64    // of these records
}

func (r *run) end() uint64 { return r.first + uint64(len(r.offs)) }

// index says where the entries of one group lie: runs in index order, not overlapping. A whole log has
// no hole between them; only replay of a damaged log leaves one. It keeps the segments' live counts.
// Four bytes an entry: at a log of 1 GiB this is what the engine's memory mostly is.
type index struct{ runs []run }

func (x *index) empty() bool { return len(x.runs) == 0 }

// first and last are 0 when empty.
func (x *index) first() uint64 {
	if x.empty() {
		return 0
	}
	return x.runs[0].first
}

func (x *index) last() uint64 {
	if x.empty() {
		return 0
	}
	return x.runs[len(x.runs)-1].end() - 1
}

// at returns the position of the run that holds i, or of the first run after it (and false).
func (x *index) at(i uint64) (int, bool) {
	// Reads are mostly of the newest entries.
	if n := len(x.runs); n > 0 && i >= x.runs[n-1].first {
		if i < x.runs[n-1].end() {
			return n - 1, true
		}
		return n, false
	}
	k := sort.Search(len(x.runs), func(k int) bool { return x.runs[k].end() > i })
	return k, k < len(x.runs) && i >= x.runs[k].first
}

func (x *index) lookup(i uint64) (*segment, uint32, bool) {
	k, ok := x.at(i)
	if !ok {
		return nil, 0, false
	}
	r := &x.runs[k]
	return r.seg, r.offs[i-r.first], true
}

// put records the place of entry i, instead of an earlier place of it.
func (x *index) put(i uint64, seg *segment, off uint32, size int64) {
	k, held := x.at(i)
	if held {
		k = x.carve(k, i)
	}
	seg.live.Add(1)
	if k > 0 && x.runs[k-1].seg == seg && x.runs[k-1].end() == i {
		r := &x.runs[k-1]
		r.offs = append(r.offs, off)
		r.bytes += size
		return
	}
	x.runs = slices.Insert(x.runs, k, run{seg: seg, first: i, offs: append(make([]uint32, 0, 4), off), bytes: size})
}

// carve takes entry i out of run k and returns the position at which a run with i belongs.
func (x *index) carve(k int, i uint64) int {
	r := x.runs[k]
	before, after := int(i-r.first), len(r.offs)-int(i-r.first)-1
	r.seg.live.Add(-1)
	share := r.bytes / int64(len(r.offs))
	low := run{seg: r.seg, first: r.first, offs: r.offs[:before:before], bytes: share * int64(before)}
	high := run{seg: r.seg, first: i + 1, offs: r.offs[before+1:], bytes: share * int64(after)}
	switch {
	case before == 0 && after == 0:
		x.runs = slices.Delete(x.runs, k, k+1)
		return k
	case before == 0:
		high.bytes = r.bytes - share
		x.runs[k] = high
		return k
	case after == 0:
		x.runs[k] = low
		return k + 1
	}
	x.runs[k] = low
	x.runs = slices.Insert(x.runs, k+1, high)
	return k + 1
}

// dropBelow forgets entries below first.
func (x *index) dropBelow(first uint64) {
	k := 0
	for k < len(x.runs) && x.runs[k].end() <= first {
		x.runs[k].seg.live.Add(-int64(len(x.runs[k].offs)))
		k++
	}
	x.runs = slices.Delete(x.runs, 0, k)
	if x.empty() {
		x.runs = nil
		return
	}
	if r := &x.runs[0]; r.first < first {
		n := int(first - r.first)
		r.seg.live.Add(-int64(n))
		r.bytes -= r.bytes / int64(len(r.offs)) * int64(n)
		r.first, r.offs = first, r.offs[n:]
		if cap(r.offs) > 2*len(r.offs)+64 {
			r.offs = slices.Clone(r.offs)
		}
	}
}

// dropFrom forgets entries at and above next.
func (x *index) dropFrom(next uint64) {
	for n := len(x.runs); n > 0; n-- {
		r := &x.runs[n-1]
		if r.end() <= next {
			return
		}
		if r.first < next {
			keep := int(next - r.first)
			r.seg.live.Add(-int64(len(r.offs) - keep))
			r.bytes = r.bytes / int64(len(r.offs)) * int64(keep)
			r.offs = r.offs[:keep]
			return
		}
		r.seg.live.Add(-int64(len(r.offs)))
		x.runs = slices.Delete(x.runs, n-1, n)
	}
}

// hole returns the first missing index between first and last.
func (x *index) hole() (uint64, bool) {
	for k := 1; k < len(x.runs); k++ {
		if end := x.runs[k-1].end(); x.runs[k].first != end {
			return end, true
		}
	}
	return 0, false
}

func (x *index) bytes() int64 {
	var n int64
	for k := range x.runs {
		n += x.runs[k].bytes
	}
	return n
}
