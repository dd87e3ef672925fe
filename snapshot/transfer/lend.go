package transfer

import (
	"sync/atomic"
)

// lentLeaf is a leaf on its way out, in memory that is used again for others: a node that gives leaves would make and collect
// as many bytes as it gives. What is never released is collected.
type lentLeaf struct {
	bytes   *[]byte
	holders atomic.Int32
}

// maxLentBytes is the most that is kept for the next leaf: longer ones are few, and would take memory that they do not need.
const maxLentBytes = 256 << 10

// lentLeaves keeps the memory. It is shared by all answers of a process.
var lentLeaves buffers

// lend gives memory for a leaf, held by the caller.
func lend() *lentLeaf {
	l := &lentLeaf{bytes: lentLeaves.get(0)}
	l.holders.Store(1)
	return l
}

// hold adds a holder.
func (l *lentLeaf) hold() *lentLeaf {
	l.holders.Add(1)
	return l
}

// release is called by each holder once, when it does not read the bytes any more.
func (l *lentLeaf) release() {
	if l.holders.Add(-1) == 0 && cap(*l.bytes) <= maxLentBytes {
		lentLeaves.put(l.bytes)
	}
}

// releasing makes the function that releases all of them.
func releasing(lent []*lentLeaf) func() {
	return func() {
		for _, l := range lent {
			l.release()
		}
	}
}
