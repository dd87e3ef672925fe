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

// take removes up to target bytes of leaves, at least one, from the front or the back; only such that fit into
// allowance all together. It looks at no more than takeLooks leaves that do not fit.
func (q *queue) take(sizes []leafState, fromBack bool, target, allowance uint64) (taken []int, bytes uint64) {
	looks := takeLooks
	for i := 0; i < len(q.waiting) && looks > 0 && len(taken) < maxBatchLeaves; {
		at := i
		if fromBack {
			at = len(q.waiting) - 1 - i
		}
		leaf := q.waiting[at]
		size := sizes[leaf].entry.Bytes
		if len(taken) > 0 && bytes+size > target {
			break
		}
		if size > allowance-bytes {
			i, looks = i+1, looks-1
			continue
		}
		q.waiting = slices.Delete(q.waiting, at, at+1)
		taken, bytes = append(taken, leaf), bytes+size
	}
	q.bytes -= bytes
	return taken, bytes
}

const (
	takeLooks      = 256
	maxBatchLeaves = maxRequestLeaves
)
