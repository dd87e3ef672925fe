package storage

import (
	"bytes"
	"encoding/binary"

	bolt "go.etcd.io/bbolt"
)

// bucket is a bucket of a file in one transaction. A reader walks over the pages itself, each after a look at it. Who writes
// leaves that to bbolt, which has records in memory that no page has yet: before bbolt comes to a page that was committed,
// it is looked at here.
type bucket struct {
	pages  *pageReader // of the commit that the transaction began on
	root   uint64
	inline []byte       // its page, where it lies in that of the buckets
	absent bool         // that commit has no such bucket
	bolt   *bolt.Bucket // nil: the transaction only reads

	near    nearby
	deleted map[uint64]bool // leaf pages that records were deleted from: bbolt's cursors pass over those that are empty
	gaps    [4]nearby       // each some of those beside each other, that were passed over: bbolt has them in memory
	gapped  int             // which of the gaps gives way to another
}

// cursor is what walks over the records of a bucket: bolt.Cursor says how.
type cursor interface {
	First() (k, v []byte)
	Last() (k, v []byte)
	Next() (k, v []byte)
	Prev() (k, v []byte)
	Seek(key []byte) (k, v []byte)
}

// bucket is nil where there is none of that name.
func (f *file) bucket(tx *bolt.Tx, name []byte) *bucket {
	b := &bucket{pages: f.pages(tx)}
	list := pageCursor{pages: b.pages, root: b.pages.root}
	k, v := list.Seek(name)
	if tx.Writable() { // only now: bbolt goes by the page of the buckets too
		if b.bolt = tx.Bucket(name); b.bolt == nil {
			return nil
		}
	}
	if b.absent = !bytes.Equal(k, name) || len(v) < bucketHeadBytes; b.absent {
		if b.bolt == nil {
			return nil
		}
		return b
	}
	if b.root = binary.NativeEndian.Uint64(v); b.root == 0 {
		b.inline = v[bucketHeadBytes:]
	}
	return b
}

// Get is the value of a key; nil when absent.
func (b *bucket) Get(key []byte) []byte {
	if b.bolt != nil {
		b.near.leaf(b, key)
		return b.bolt.Get(key)
	}
	c := b.committed()
	if k, v := c.Seek(key); bytes.Equal(k, key) {
		return v
	}
	return nil
}

// Put sets the value of a key. Only who writes calls it.
func (b *bucket) Put(key, value []byte) error {
	b.near.leaf(b, key)
	return b.bolt.Put(key, value)
}

// Delete removes a key. Only who writes calls it.
func (b *bucket) Delete(key []byte) error {
	if id := b.near.leaf(b, key); id != 0 {
		if b.deleted == nil {
			b.deleted = make(map[uint64]bool)
		}
		b.deleted[id] = true
	}
	return b.bolt.Delete(key)
}

// Cursor walks over the records, those too that this transaction has written.
func (b *bucket) Cursor() cursor {
	if b.bolt != nil {
		return &writeCursor{bucket: b, bolt: b.bolt.Cursor()}
	}
	c := b.committed()
	return &c
}

// each yields all records.
func (b *bucket) each(yield func(k, v []byte) error) error {
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if err := yield(k, v); err != nil {
			return err
		}
	}
	return nil
}

func (b *bucket) committed() pageCursor {
	return pageCursor{pages: b.pages, root: b.root, inline: b.inline}
}

// dropBucket deletes a bucket. bbolt walks over all its pages for that.
func (f *file) dropBucket(tx *bolt.Tx, name []byte) error {
	b := f.bucket(tx, name)
	if b != nil && !b.absent {
		c := b.committed()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
		}
	}
	return tx.DeleteBucket(name)
}

// nearby is what was looked at last of a bucket that is written: the leaf page of the keys from low on and below high.
type nearby struct {
	begun     bool
	id        uint64
	low, high []byte // nil: no bound
}

// leaf looks at the leaf page that a key belongs to, and at the way there.
func (n *nearby) leaf(b *bucket, key []byte) (id uint64) {
	if b.absent || b.inline != nil {
		return 0
	}
	if !n.has(key) {
		b.pages.forget()
		c := b.committed()
		n.find(&c, key)
	}
	return n.id
}

func (n *nearby) has(key []byte) bool {
	return n.begun && (n.low == nil || bytes.Compare(key, n.low) >= 0) && (n.high == nil || bytes.Compare(key, n.high) < 0)
}

func (n *nearby) find(c *pageCursor, key []byte) {
	c.descend(key)
	n.begun, n.id = true, c.top().id
	n.low, n.high = c.bounds()
}

// join adds a leaf page to those beside it; false: it lies elsewhere.
func (n *nearby) join(low, high []byte) bool {
	switch {
	case !n.begun:
		return false
	case n.has(low):
	case n.high != nil && bytes.Equal(n.high, low):
		n.high = high
	case n.low != nil && bytes.Equal(n.low, high):
		n.low = low
	default:
		return false
	}
	return true
}

// gap is what lies beside a page that records were deleted from and is known to be like it.
func (b *bucket) gap(low, high []byte) *nearby {
	for i := range b.gaps {
		if g := &b.gaps[i]; g.join(low, high) {
			return g
		}
	}
	g := &b.gaps[b.gapped%len(b.gaps)]
	b.gapped++
	*g = nearby{begun: true, low: low, high: high}
	return g
}

// onward goes on to the leaf page that bbolt comes to where a cursor stands on one, or passes over it.
func (b *bucket) onward(at *pageCursor) {
	for b.deleted[at.top().id] {
		gap := b.gap(at.bounds())
		if gap.high == nil {
			return
		}
		at.descend(gap.high)
	}
}

// backward is onward for who goes back.
func (b *bucket) backward(at *pageCursor) {
	for b.deleted[at.top().id] {
		gap := b.gap(at.bounds())
		if gap.low == nil {
			return
		}
		at.descend(gap.low)
		at.prevLeaf()
	}
}

// writeCursor is bbolt's, which comes to no page that was not looked at: around where it stands, one step each way.
type writeCursor struct {
	bucket *bucket
	bolt   *bolt.Cursor
	near   nearby
}

func (c *writeCursor) around(key []byte) {
	b := c.bucket
	if b.absent || b.inline != nil || c.near.has(key) {
		return
	}
	b.pages.forget()
	at := b.committed()
	if at.nextLeafOf(key) {
		b.onward(&at)
	}
	c.near.find(&at, key)
	if at.prevLeaf() {
		b.backward(&at)
	}
}

func (c *writeCursor) moved(k, v []byte) (key, value []byte) {
	if k != nil {
		c.around(k)
	}
	return k, v
}

// First moves to the first record.
func (c *writeCursor) First() (k, v []byte) {
	c.around(nil)
	return c.moved(c.bolt.First())
}

// Last moves to the last record. bbolt's own goes round for ever where this transaction has emptied all of several leaf pages.
func (c *writeCursor) Last() (k, v []byte) {
	if k, _ := c.First(); k == nil {
		return nil, nil
	}
	if b := c.bucket; !b.absent && b.inline == nil {
		b.pages.forget()
		at := b.committed()
		at.Last()
		b.backward(&at)
		low, _ := at.bounds()
		c.around(low)
	}
	return c.moved(c.bolt.Last())
}

// Next moves to the next record.
func (c *writeCursor) Next() (k, v []byte) { return c.moved(c.bolt.Next()) }

// Prev moves to the record before.
func (c *writeCursor) Prev() (k, v []byte) { return c.moved(c.bolt.Prev()) }

// Seek moves to the first record at or above a key.
func (c *writeCursor) Seek(key []byte) (k, v []byte) {
	c.around(key)
	return c.moved(c.bolt.Seek(key))
}
