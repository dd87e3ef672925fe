package transfer

import (
	"cmp"
	"slices"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// newestFirst is the order in which leaves are wanted: the newest window first, and by slot within it.
func newestFirst(a, b digest.Entry) int {
	if c := cmp.Compare(b.Window, a.Window); c != 0 {
		return c
	}
	return cmp.Compare(a.Slot, b.Slot)
}

// queue holds the leaves that nobody was asked for, as indices into the order of wanted leaves: it is sorted.
type queue struct {
	waiting []int
	bytes   uint64
}

// push puts a leaf (back) where it belongs.
func (q *queue) push(leaf int, bytes uint64) {
	at, _ := slices.BinarySearch(q.waiting, leaf)
	q.waiting = slices.Insert(q.waiting, at, leaf)
	q.bytes += bytes
}

// next is the leaf at the front or the back of a queue that is not empty.
func (q *queue) next(fromBack bool) int {
	if fromBack {
		return q.waiting[len(q.waiting)-1]
	}
	return q.waiting[0]
}

// take removes up to target bytes of leaves, at least one, from the front or the back; only such that fit into
// allowance all together. It looks at no more than takeLooks leaves that do not fit.
func (q *queue) take(leaves []leafState, fromBack bool, target, allowance uint64) (taken []int, bytes uint64) {
	kept, looked := []int(nil), 0 // of the end that is looked at
	for looked < len(q.waiting) && len(kept) < takeLooks && len(taken) < maxBatchLeaves {
		leaf := q.waiting[looked]
		if fromBack {
			leaf = q.waiting[len(q.waiting)-1-looked]
		}
		size := leaves[leaf].entry.Bytes
		if len(taken) > 0 && bytes+size > target {
			break
		}
		looked++
		if size > allowance-bytes {
			kept = append(kept, leaf)
			continue
		}
		taken, bytes = append(taken, leaf), bytes+size
	}
	slices.Sort(kept)
	slices.Sort(taken)
	if fromBack {
		q.waiting = append(q.waiting[:len(q.waiting)-looked], kept...)
	} else {
		copy(q.waiting[looked-len(kept):looked], kept)
		q.waiting = q.waiting[looked-len(kept):]
	}
	q.bytes -= bytes
	return taken, bytes
}

const (
	takeLooks      = 256
	maxBatchLeaves = maxRequestLeaves
)
