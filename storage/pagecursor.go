package storage

import (
	"bytes"
	"encoding/binary"
)

// pageCursor walks over the records of a bucket as the last commit has left it. Its moves are those of bolt.Cursor, over pages
// that were looked at.
type pageCursor struct {
	pages  *pageReader
	root   uint64
	inline []byte   // the page, where it lies in that of the buckets
	stack  []pageAt // from the root to a leaf
	room   [4]pageAt
}

// pageAt is a page with the element that the cursor stands on. Of a leaf it may be the one behind the last.
type pageAt struct {
	id           uint64
	bytes        []byte
	leaf         bool
	count, index int
}

func number32(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }

func headOf(page []byte) (flags uint16, count int) {
	return binary.NativeEndian.Uint16(page[8:]), int(binary.NativeEndian.Uint16(page[10:]))
}

func branchElement(page []byte, i int) (key []byte, child uint64) {
	at := pageHeadBytes + i*pageElementBytes
	e := page[at : at+pageElementBytes]
	from := uint64(at) + uint64(number32(e))
	return page[from : from+uint64(number32(e[4:]))], binary.NativeEndian.Uint64(e[8:])
}

func leafElement(page []byte, i int) (flags uint32, key, value []byte) {
	at := pageHeadBytes + i*pageElementBytes
	e := page[at : at+pageElementBytes]
	from := uint64(at) + uint64(number32(e[4:]))
	to := from + uint64(number32(e[8:]))
	end := to + uint64(number32(e[12:]))
	return number32(e), page[from:to:to], page[to:end:end]
}

func (c *pageCursor) top() *pageAt { return &c.stack[len(c.stack)-1] }

func (c *pageCursor) push(id uint64) *pageAt {
	page := c.inline
	if page == nil {
		page = c.pages.page(id)
	}
	if len(c.stack) == maxTreeDepth {
		panic(badPage(id, "%w: %d levels deep", errPage, len(c.stack)))
	}
	flags, count := headOf(page)
	c.stack = append(c.stack, pageAt{id: id, bytes: page, leaf: flags&pageBranch == 0, count: count})
	return c.top()
}

func (c *pageCursor) begin() {
	if c.stack == nil {
		c.stack = c.room[:0]
	}
	c.stack = c.stack[:0]
	c.push(c.root)
}

// record is the one that the cursor stands on; nil: none.
func (c *pageCursor) record() (k, v []byte) {
	at := c.top()
	if at.index >= at.count {
		return nil, nil
	}
	_, k, v = leafElement(at.bytes, at.index)
	return k, v
}

// lead goes on below the element of a branch that the cursor stands on, to the first or the last record.
func (c *pageCursor) lead(last bool) {
	for at := c.top(); !at.leaf; {
		_, child := branchElement(at.bytes, at.index)
		at = c.push(child)
		if last {
			at.index = max(at.count-1, 0)
		}
	}
}

// First moves to the first record.
func (c *pageCursor) First() (k, v []byte) {
	c.begin()
	c.lead(false)
	return c.record()
}

// Last moves to the last record.
func (c *pageCursor) Last() (k, v []byte) {
	c.begin()
	c.top().index = max(c.top().count-1, 0)
	c.lead(true)
	return c.record()
}

// Next moves to the next record; behind the last it stays.
func (c *pageCursor) Next() (k, v []byte) {
	if at := c.top(); at.index < at.count-1 {
		at.index++
	} else if !c.nextLeaf() {
		return nil, nil
	}
	return c.record()
}

// Prev moves to the record before; at the first it stays.
func (c *pageCursor) Prev() (k, v []byte) {
	if at := c.top(); at.index > 0 {
		at.index--
	} else if !c.prevLeaf() {
		return nil, nil
	}
	return c.record()
}

// Seek moves to the first record at or above a key.
func (c *pageCursor) Seek(key []byte) (k, v []byte) {
	c.descend(key)
	at := c.top()
	low, high := 0, at.count
	for low < high {
		middle := (low + high) / 2
		if _, k, _ := leafElement(at.bytes, middle); bytes.Compare(k, key) < 0 {
			low = middle + 1
		} else {
			high = middle
		}
	}
	at.index = low
	if low == at.count && !c.nextLeaf() {
		return nil, nil
	}
	return c.record()
}

// descend goes to the leaf page that a key belongs to.
func (c *pageCursor) descend(key []byte) {
	c.begin()
	for at := c.top(); !at.leaf; {
		low, high := 0, at.count // the first that is above the key
		for low < high {
			middle := (low + high) / 2
			if k, _ := branchElement(at.bytes, middle); bytes.Compare(k, key) <= 0 {
				low = middle + 1
			} else {
				high = middle
			}
		}
		at.index = max(low-1, 0)
		_, child := branchElement(at.bytes, at.index)
		at = c.push(child)
	}
}

// nextLeaf moves to the first record of the next leaf page; false where there is none.
func (c *pageCursor) nextLeaf() bool {
	for i := len(c.stack) - 2; i >= 0; i-- {
		if at := &c.stack[i]; at.index < at.count-1 {
			at.index++
			c.stack = c.stack[:i+1]
			c.lead(false)
			return true
		}
	}
	return false
}

// nextLeafOf moves to the leaf page behind the one that a key belongs to.
func (c *pageCursor) nextLeafOf(key []byte) bool {
	c.descend(key)
	return c.nextLeaf()
}

// prevLeaf moves to the last record of the leaf page before; false where there is none.
func (c *pageCursor) prevLeaf() bool {
	for i := len(c.stack) - 2; i >= 0; i-- {
		if at := &c.stack[i]; at.index > 0 {
			at.index--
			c.stack = c.stack[:i+1]
			c.lead(true)
			return true
		}
	}
	return false
}

// bounds are the keys that the leaf page that descend went to may have, from low and below high; nil: no bound.
func (c *pageCursor) bounds() (low, high []byte) {
	for i := len(c.stack) - 2; i >= 0; i-- {
		at := &c.stack[i]
		if low == nil && at.index > 0 {
			low, _ = branchElement(at.bytes, at.index)
		}
		if high == nil && at.index < at.count-1 {
			high, _ = branchElement(at.bytes, at.index+1)
		}
	}
	return low, high
}
