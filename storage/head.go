package storage

import (
	"strings"
	"time"
)

// head is what was applied since an earlier head was frozen: points, and the deletes that older data has yet to see.
// The active head belongs to Apply, under the shard's lock; a frozen one changes no more, except that a reader may put a
// sorted run in place of an unsorted one.
type head struct {
	series  map[string]*headSeries // by series key
	deletes []rangeDelete
	bytes   int64 // memory, estimated
	points  int64 // rows, repeated times included
	dirty   bool  // holds more than a new applied index
	frozen  bool  // the flusher reads it without the lock
	since   time.Time

	// Set when it is frozen: what the flush writes beside the points.
	state state
	cuts  []string // ids of the cuts to pin when it is flushed
}

// headSeries is the points of one series in a head: one run a schema.
type headSeries struct {
	runs []*run
	last *run   // the run that took the last row
	seq  uint32 // rows so far; counted from the second run on
}

// rangeDelete removes the points in [from, to) of the series whose key has the prefix.
type rangeDelete struct {
	prefix   string
	from, to int64
}

func (d *rangeDelete) matches(key []byte) bool {
	return len(key) >= len(d.prefix) && string(key[:len(d.prefix)]) == d.prefix
}

// maxHeadDeletes is how many deletes a head takes before it is frozen: each costs every read of older data a look.
const maxHeadDeletes = 1024

// seriesBytes is about what an entry of the series map and its headSeries take, without the key.
const seriesBytes = 160

func newHead() *head { return &head{series: make(map[string]*headSeries)} }

// at returns the series of a key, which it copies when the series is new.
func (h *head) at(key []byte) *headSeries {
	if hs := h.series[string(key)]; hs != nil {
		return hs
	}
	hs := &headSeries{}
	h.series[string(key)] = hs
	h.bytes += int64(len(key)) + seriesBytes
	return hs
}

// append adds a row to a series of the head.
func (h *head) append(hs *headSeries, sc *schema, time int64, numbers []uint64, texts [][]byte) {
	r := hs.last
	if r == nil || r.schema != sc {
		r = h.runOf(hs, sc)
	}
	h.points++
	h.bytes += r.append(time, numbers, texts)
	if r.seqs != nil {
		r.seqs = append(r.seqs, hs.seq)
		hs.seq++
	}
}

// runBytes is about what a run takes beside its arrays.
const runBytes = 160

func (h *head) runOf(hs *headSeries, sc *schema) *run {
	for _, r := range hs.runs {
		if r.schema == sc {
			hs.last = r
			return r
		}
	}
	r := &run{schema: sc, sorted: true}
	if len(hs.runs) == 1 {
		// From here on the order of arrival is not the order within one run.
		first := hs.runs[0]
		first.seqs = make([]uint32, len(first.times), cap(first.times))
		for i := range first.seqs {
			first.seqs[i] = uint32(i)
		}
		hs.seq = uint32(len(first.times))
		h.bytes += int64(4 * cap(first.times))
	}
	if len(hs.runs) > 0 {
		r.seqs = []uint32{}
	}
	hs.runs = append(hs.runs, r)
	hs.last = r
	h.bytes += runBytes
	return r
}

// delete removes the matching points at once and remembers the delete for older data.
func (h *head) delete(d rangeDelete, exact bool) {
	if d.from >= d.to {
		return
	}
	h.deletes = append(h.deletes, d)
	h.bytes += int64(len(d.prefix)) + 64
	if exact {
		h.deleteIn(d.prefix, d)
		return
	}
	for key := range h.series {
		if strings.HasPrefix(key, d.prefix) {
			h.deleteIn(key, d)
		}
	}
}

func (h *head) deleteIn(key string, d rangeDelete) {
	hs := h.series[key]
	if hs == nil {
		return
	}
	rows := 0
	for _, r := range hs.runs {
		if kept, hit := r.without(d.from, d.to); hit {
			h.points -= int64(len(r.times) - len(kept.times))
			h.bytes += kept.bytes() - r.bytes()
			*r = kept
		}
		rows += len(r.times)
	}
	if rows == 0 {
		h.bytes -= int64(len(key)) + seriesBytes
		for _, r := range hs.runs {
			h.bytes -= runBytes + r.bytes()
		}
		delete(h.series, key)
	}
}

// snapshot copies the runs of a series that have rows; the caller holds the shard's lock.
func (h *head) snapshot(key []byte) []run {
	hs := h.series[string(key)]
	if hs == nil {
		return nil
	}
	runs := make([]run, 0, len(hs.runs))
	for _, r := range hs.runs {
		if len(r.times) > 0 {
			runs = append(runs, *r)
		}
	}
	return runs
}

// install puts a sorted run where an unsorted one still is as the reader found it; the caller holds the shard's lock
// for writing.
func (h *head) install(key []byte, found, sorted *run) {
	if h.frozen {
		return
	}
	hs := h.series[string(key)]
	if hs == nil {
		return
	}
	for _, r := range hs.runs {
		if r.schema == found.schema && !r.sorted && len(r.times) == len(found.times) && &r.times[0] == &found.times[0] {
			h.points -= int64(len(r.times) - len(sorted.times))
			h.bytes += sorted.bytes() - r.bytes()
			*r = *sorted
			return
		}
	}
}

// spans are the ranges that the head's deletes remove from older data of a series.
func (h *head) spans(dst []span, key []byte) []span {
	for i := range h.deletes {
		if d := &h.deletes[i]; d.matches(key) {
			dst = append(dst, span{d.from, d.to})
		}
	}
	return dst
}

// span is a range of times, [from, to).
type span struct{ from, to int64 }
