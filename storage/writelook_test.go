package storage

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// leafRange is a leaf page of a bucket with its first and its last key.
type leafRange struct {
	id          uint64
	page        []byte // as it is mapped
	first, last []byte // copies
	keys        [][]byte
}

// leafRanges are the leaf pages of a bucket in key order.
func leafRanges(b *bucket) (list []leafRange) {
	c := b.committed()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
		if at := c.top(); len(list) == 0 || list[len(list)-1].id != at.id {
			list = append(list, leafRange{id: at.id, page: at.bytes, first: bytes.Clone(k)})
		}
		l := &list[len(list)-1]
		l.last = bytes.Clone(k)
		l.keys = append(l.keys, l.last)
	}
	return list
}

// leavesOf are the leaf pages of a bucket of a shard.
func leavesOf(t *testing.T, s *Shard, name []byte) (list []leafRange) {
	t.Helper()
	if err := s.file.view("find", func(tx *bolt.Tx) error { list = leafRanges(s.file.bucket(tx, name)); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

// spoiledLeaf is what a leaf page of the list may be instead: the bytes that change, and where in the page.
func spoiledLeaf(l *leafRange) map[string]func() (at int, b byte) {
	key := func(i int, b byte) func() (int, byte) {
		return func() (int, byte) {
			at := pageHeadBytes + i*pageElementBytes
			return at + int(number32(l.page[at+4:])), b
		}
	}
	last := len(l.keys) - 1
	return map[string]func() (int, byte){
		"a record fewer":        func() (int, byte) { return 10, byte(len(l.keys) - 1) },
		"a first key too low":   key(0, 0),
		"a first key too high":  key(0, 0xff),
		"a last key too low":    key(last, 0),
		"a last key too high":   key(last, 0xff),
		"a middle key too high": key(last/2, 0xff),
	}
}

// wayToLeaf is how a write comes to leaf page i of a list. It calls spoil before, and gives false where there is no such way.
type wayToLeaf func(b *bucket, list []leafRange, i int, spoil func()) bool

var waysToLeaves = map[string]wayToLeaf{
	"up": func(b *bucket, _ []leafRange, _ int, spoil func()) bool {
		spoil()
		for c, k := b.begun(cursor.First); k != nil; k, _ = c.Next() {
		}
		return true
	},
	"down": func(b *bucket, _ []leafRange, _ int, spoil func()) bool {
		spoil()
		for c, k := b.begun(cursor.Last); k != nil; k, _ = c.Prev() {
		}
		return true
	},
	"first": func(b *bucket, _ []leafRange, i int, spoil func()) bool {
		spoil()
		b.Cursor().First()
		return i == 0
	},
	"last": func(b *bucket, list []leafRange, i int, spoil func()) bool {
		spoil()
		b.Cursor().Last()
		return i == len(list)-1
	},
	"seek its first": func(b *bucket, list []leafRange, i int, spoil func()) bool {
		spoil()
		b.Cursor().Seek(list[i].first)
		return true
	},
	"seek its last": func(b *bucket, list []leafRange, i int, spoil func()) bool {
		spoil()
		b.Cursor().Seek(list[i].last)
		return true
	},
	"on into it": func(b *bucket, list []leafRange, i int, spoil func()) bool {
		if i == 0 {
			return false
		}
		spoil()
		c := b.Cursor()
		c.Seek(list[i-1].last)
		c.Next()
		return true
	},
	"back into it": func(b *bucket, list []leafRange, i int, spoil func()) bool {
		if i == len(list)-1 {
			return false
		}
		spoil()
		c := b.Cursor()
		c.Seek(list[i+1].first)
		c.Prev()
		return true
	},
	"on over an emptied page": func(b *bucket, list []leafRange, i int, spoil func()) bool {
		return i >= 2 && b.skip(list[i-1], list[i-2].last, cursor.Next, spoil)
	},
	"back over an emptied page": func(b *bucket, list []leafRange, i int, spoil func()) bool {
		return i < len(list)-2 && b.skip(list[i+1], list[i+2].first, cursor.Prev, spoil)
	},
	"get": func(b *bucket, list []leafRange, i int, spoil func()) bool { spoil(); b.Get(list[i].last); return true },
	"put": func(b *bucket, list []leafRange, i int, spoil func()) bool {
		spoil()
		_ = b.Put(list[i].first, []byte{1})
		return true
	},
	"delete": func(b *bucket, list []leafRange, i int, spoil func()) bool {
		spoil()
		_ = b.Delete(list[i].first)
		return true
	},
	"get once more": func(b *bucket, list []leafRange, i int, spoil func()) bool {
		b.Get(list[i].first)
		b.Get(list[(i+1)%len(list)].first)
		spoil()
		b.Get(list[i].first)
		return true
	},
	"seek once more": func(b *bucket, list []leafRange, i int, spoil func()) bool {
		c := b.Cursor()
		c.Seek(list[i].first)
		c.Seek(list[(i+len(list)/2)%len(list)].first)
		spoil()
		c.Seek(list[i].first)
		return true
	},
}

func (b *bucket) begun(move func(cursor) (k, v []byte)) (cursor, []byte) {
	c := b.Cursor()
	k, _ := move(c)
	return c, k
}

// skip empties a leaf page, and moves from a key beside it over it.
func (b *bucket) skip(emptied leafRange, from []byte, move func(cursor) (k, v []byte), spoil func()) bool {
	for _, k := range emptied.keys {
		if err := b.Delete(k); err != nil {
			return false
		}
	}
	spoil()
	c := b.Cursor()
	c.Seek(from)
	move(c)
	return true
}

// TestWriterComesToNoLeafUnseen: a leaf page is not what was committed. Whichever way a write comes to it, that is said before
// anything of it is gone by, not only after the commit, which does not look at pages that it has not replaced.
func TestWriterComesToNoLeafUnseen(t *testing.T) {
	p := newPristine(t)
	s := p.openCopy(t)
	standStill(s)
	s.file.onDamaged = nil
	errUnseen, errNoWay := errors.New("it was gone by"), errors.New("no such way")
	tried := make(map[string]int)
	try := func(name string, i int, damage string) (again bool) {
		var undo func()
		err := s.file.commit(name, func(tx *bolt.Tx) error {
			b := s.file.bucket(tx, bucketBlocks)
			list := leafRanges(b)
			again = i < len(list)-1
			l := list[i]
			at, to := spoiledLeaf(&l)[damage]()
			where, old := int64(l.id)*int64(b.pages.pageSize)+int64(at), l.page[at]
			if !waysToLeaves[name](b, list, i, func() {
				writeOver(t, s.o.Path, where, []byte{to})
				undo = func() { writeOver(t, s.o.Path, where, []byte{old}) }
			}) {
				return errNoWay
			}
			return errUnseen
		})
		if undo != nil {
			undo()
		}
		s.forgive()
		switch {
		case errors.Is(err, ErrDamaged):
			tried[name]++
		case !errors.Is(err, errNoWay):
			t.Errorf("%s, leaf %d has %s: %v", name, i, damage, err)
		}
		return again
	}
	for damage := range spoiledLeaf(&leafRange{}) {
		for name := range waysToLeaves {
			for i := 0; try(name, i, damage); i++ {
			}
		}
	}
	if len(tried) != len(waysToLeaves) {
		t.Errorf("tried: %v", tried)
	}
	t.Log(fmt.Sprint(tried))
}

// TestWhoWalksOverAllPagesLooksFirst: bbolt walks over a bucket that it drops, and over a file that it copies, and a
// copy is good only where its file still is.
func TestWhoWalksOverAllPagesLooksFirst(t *testing.T) {
	p := newPristine(t)
	errUnseen := errors.New("it was gone by")
	for name, walk := range map[string]func(s *Shard) error{
		"drop": func(s *Shard) error {
			return s.file.commit("drop", func(tx *bolt.Tx) error { return errors.Join(s.file.dropBucket(tx, bucketBlocks), errUnseen) })
		},
		"compact":   func(s *Shard) error { return errors.Join(s.file.compactTo(s.o.Path+"-copy"), errUnseen) },
		"take over": func(s *Shard) error { return errors.Join(s.file.become(s.o.Path+"-missing"), errUnseen) }, // copied before it went bad
	} {
		s := p.openCopy(t)
		standStill(s)
		s.file.onDamaged = nil
		for i, l := range leavesOf(t, s, bucketBlocks) {
			at := int64(l.id)*int64(len(l.page)) + 10
			writeOver(t, s.o.Path, at, []byte{byte(len(l.keys) - 1)})
			if err := walk(s); !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s, leaf %d has a record fewer: %v", name, i, err)
			}
			writeOver(t, s.o.Path, at, []byte{byte(len(l.keys))})
			s.forgive()
		}
		if err := walk(s); errors.Is(err, ErrDamaged) {
			t.Errorf("%s, put right again: %v", name, err)
		}
	}
}

// TestPageOfBucketsIsLookedAtFirst: whoever looks for a bucket is told that the page of them is damaged, whatever its bytes
// say by now, and bbolt does not go by it before. Where it names another bucket, one would be missing.
func TestPageOfBucketsIsLookedAtFirst(t *testing.T) {
	p := newPristine(t)
	s := p.openCopy(t)
	standStill(s)
	s.file.onDamaged = nil
	look := func(tx *bolt.Tx) error { s.file.bucket(tx, bucketSeries); return nil }
	var offsets []int
	if err := s.file.view("find", func(tx *bolt.Tx) error {
		offsets = leadingBytes(t, s.file.mapped(tx), s.file.pages(tx).root)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, at := range offsets {
		for _, flip := range []byte{1, 4, 255} {
			writeOver(t, s.o.Path, int64(at), []byte{p.bytes[at] ^ flip})
			for name, begin := range map[string]func(string, func(*bolt.Tx) error) error{"a read": s.file.view, "a write": s.file.commit} {
				if err := begin("look", look); !errors.Is(err, ErrDamaged) {
					t.Errorf("byte %d ^ %#x, %s: %v", at, flip, name, err)
				}
				s.forgive()
			}
			writeOver(t, s.o.Path, int64(at), p.bytes[at:at+1])
		}
	}
}
