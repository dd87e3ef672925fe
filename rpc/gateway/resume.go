package gateway

import (
	"bytes"
	"slices"
	"sort"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

// A replica may fail in the middle of its answer: a block that cannot be read, a
// node that dies. What of the group was only held back is dropped, and the group
// is read anew elsewhere. Rows that were handed on cannot be taken back: then
// another replica is asked too, and what of its answer lies up to the last row
// that was handed on is left out. Every replica gives series in the same order
// and rows by time, so nothing comes twice. Of a series whose answer was larger
// than what is held back the rest is then of a later moment than the begin.

// mark is the last row of a group that its reader was given.
type mark struct {
	device string
	time   int64
}

// add takes rows of the replica that is being read.
func (r *reading) add(device string, c *blocks.Columns) error {
	if m, ok := r.marks[r.groupOf(device)]; ok {
		if c = r.behind(m, device, c); c.Len() == 0 {
			return nil
		}
	}
	if n := c.Len(); n > 0 {
		r.last = mark{device, c.Times[n-1]}
	}
	return r.out.add(device, c)
}

func (r *reading) groupOf(device string) uint32 {
	if len(r.marks) == 0 { // nobody asks
		return 0
	}
	return storage.GroupOf(r.q.Database, r.q.Collection, device, r.total)
}

// broke notes that the answer of a group broke off after some of its rows.
func (r *reading) broke(group uint32) {
	of := func(device string) bool {
		return storage.GroupOf(r.q.Database, r.q.Collection, device, r.total) == group
	}
	if !r.out.streaming {
		r.out.forget(of)
		return
	}
	if r.last.device != "" && of(r.last.device) {
		if r.marks == nil {
			r.marks = map[uint32]mark{}
		}
		r.marks[group] = r.last
	}
}

// behind is the part of rows that lies behind a mark.
func (r *reading) behind(m mark, device string, c *blocks.Columns) *blocks.Columns {
	order := r.order(device, m.device)
	if order > 0 {
		return c
	}
	out := &blocks.Columns{}
	if order < 0 {
		return out
	}
	from := sort.Search(c.Len(), func(i int) bool {
		if r.q.Descending {
			return c.Times[i] < m.time
		}
		return c.Times[i] > m.time
	})
	if from < c.Len() {
		c.CopyRows(out, from, c.Len())
	}
	return out
}

// order compares the places of two devices in an answer.
func (r *reading) order(a, b string) int {
	switch {
	case a == b:
		return 0
	case len(r.q.Devices) > 0:
		return slices.Index(r.q.Devices, a) - slices.Index(r.q.Devices, b)
	}
	key := func(device string) []byte {
		return storage.Series{Database: r.q.Database, Collection: r.q.Collection, Device: device}.Key()
	}
	return bytes.Compare(key(a), key(b))
}

// forget drops what is held back of some devices.
func (k *collector) forget(of func(device string) bool) {
	k.held = slices.DeleteFunc(k.held, func(h heldRows) bool {
		if !of(h.device) {
			return false
		}
		k.bytes -= rowBytes(h.c)
		return true
	})
}
