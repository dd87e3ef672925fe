package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
	"unsafe"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// leadingBytes are the offsets in the file of the bytes of a page that lead to records.
func leadingBytes(t *testing.T, m mapped, id uint64) (offsets []int) {
	t.Helper()
	page, err := m.page(id)
	if err != nil {
		t.Fatal(err)
	}
	p, err := pageHead(id, page)
	if err != nil {
		t.Fatal(err)
	}
	list, _, err := p.elements(nil)
	if err != nil {
		t.Fatal(err)
	}
	at := int(id) * m.pageSize
	for i := range pageHeadBytes + len(list)*pageElementBytes {
		offsets = append(offsets, at+i)
	}
	at += len(offsets)
	for _, e := range list {
		for i := range e.key {
			offsets = append(offsets, at+i)
		}
		at += len(e.key) + len(e.value)
	}
	return offsets
}

// pagesOf are the pages of keys that a transaction shows, leaf pages last.
func pagesOf(t *testing.T, f *file, tx *bolt.Tx) (ids []uint64, m mapped) {
	t.Helper()
	m = f.mapped(tx)
	w := branchWalk{mapped: m, sums: new(pageSums)}
	if err := w.learn(uint64(tx.Cursor().Bucket().Root())); err != nil {
		t.Fatal(err)
	}
	for id := range m.pages() {
		if w.sums.live.has(id) {
			ids = append(ids, id)
		}
	}
	return ids, m
}

// knows makes sure that a file knows the pages of its last commit, all of them and no others, and has their sums right.
func (f *file) knows(t *testing.T) {
	t.Helper()
	again := true
	compare := func(tx *bolt.Tx) error {
		f.learning.Lock()
		defer f.learning.Unlock()
		sums := f.sums.Load()
		if again = sums.txid.Load() != uint64(tx.ID()); again {
			return nil // parts were merged meanwhile
		}
		ids, m := pagesOf(t, f, tx)
		live := 0
		for id := range m.pages() {
			if sums.live.has(id) {
				live++
			}
		}
		for _, id := range ids {
			page, err := m.page(id)
			if err != nil {
				return err
			}
			if sum, ok := pageSum(page); !ok || !sums.live.has(id) || sums.at(id).Load() != sum {
				t.Errorf("page %d: sum %#x, known %#x, live %v", id, sum, sums.at(id).Load(), sums.live.has(id))
			}
		}
		if live != len(ids) {
			t.Errorf("%d pages are live, %d are known", len(ids), live)
		}
		return nil
	}
	for again {
		if err := f.view("compare sums", compare); err != nil {
			t.Fatal(err)
		}
	}
}

// change applies something random to a shard and to what it should hold, and flushes it.
func change(t *testing.T, s *Shard, want contents, random *rand.Rand) error {
	t.Helper()
	frames := []byte(nil)
	if random.IntN(3) == 0 {
		gone := Series{"db", "c", fmt.Sprint("device-", random.IntN(60))}
		frames = AppendDelete(frames, Delete{gone, MinTime, NoEnd})
		delete(want, gone)
	}
	for range 1 + random.IntN(4) {
		p := point(fmt.Sprint("device-", random.IntN(90)), random.Int64N(60*int64(time.Second)), "v", random.Float64())
		frames = AppendPut(frames, []Point{p})
		want.set(p.Series, p.Time, "v", p.Fields[0].Value)
	}
	if err := s.Apply([]Entry{{Index: s.Applied().Index + 1, Term: 1, Data: frames}})[0]; err != nil { // parts were being merged
		return err
	}
	_, err := s.Flush(t.Context())
	return err
}

// stand runs fn while nothing is committed, nor learned of what was: a byte that flips between the two is taken for right.
func stand(s *Shard, fn func()) {
	for range cap(s.budget.slots) {
		s.budget.slots <- struct{}{}
	}
	fn()
	for range cap(s.budget.slots) {
		<-s.budget.slots
	}
}

// TestDamagedKeysAreNotWrittenOnwards: a byte of any page that leads to records flips, and then points come and go. Either
// the shard says that it is damaged, or nothing of that page was gone by: once the byte is right again, all is right.
func TestDamagedKeysAreNotWrittenOnwards(t *testing.T) {
	p := newPristine(t)
	random := rand.New(rand.NewPCG(43, 44))
	found := 0
	for range rounds(40) {
		s := p.openCopy(t)
		want := contents{}
		for series, points := range p.want {
			for at, fields := range points {
				for name, v := range fields {
					want.set(series, at, name, v)
				}
			}
		}
		s.file.knows(t)
		for range random.IntN(4) {
			if err := change(t, s, want, random); err != nil {
				t.Fatal(err)
			}
		}
		var at int
		var old, flip byte
		var page []byte
		stand(s, func() {
			if err := s.file.view("flip", func(tx *bolt.Tx) error {
				ids, m := pagesOf(t, s.file, tx)
				id := ids[random.IntN(len(ids))]
				offsets := leadingBytes(t, m, id)
				at, flip = offsets[random.IntN(len(offsets))], byte(1+random.IntN(255))
				old = m.bytes[at]
				writeOver(t, s.o.Path, int64(at), []byte{old ^ flip})
				page = bytes.Clone(m.bytes[int(id)*m.pageSize : int(id+1)*m.pageSize])
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
		err := change(t, s, want, random)
		if err != nil {
			if found++; !errors.Is(err, ErrDamaged) {
				t.Errorf("byte %d ^ %#x: %v", at, flip, err)
			}
		} else {
			met := false
			stand(s, func() {
				if met = s.file.damaged.Load() != nil; met { // by a merge of parts
					return
				}
				if file, err := os.ReadFile(s.o.Path); err != nil || bytes.Equal(page, file[at/len(page)*len(page):][:len(page)]) { // not used again
					writeOver(t, s.o.Path, int64(at), []byte{old})
				}
			})
			if !met {
				compare(t, fmt.Sprintf("byte %d ^ %#x", at, flip), readAll(t, s, false), want)
				s.file.knows(t)
			}
		}
		abandon(t, s)
	}
	if found == 0 || found == rounds(40) {
		t.Errorf("%d of %d were met", found, rounds(40))
	}
	t.Log(found, "were met by who wrote")
}

// TestPagesOfAnOlderTransactionAreLookedAt: commits have gone on, and pages that only an older reader still has are damaged.
func TestPagesOfAnOlderTransactionAreLookedAt(t *testing.T) {
	p := newPristine(t)
	random := rand.New(rand.NewPCG(45, 46))
	s := p.openCopy(t)
	tx, err := s.file.begin()
	if err != nil {
		t.Fatal(err)
	}
	defer s.file.end(tx)
	old, m := pagesOf(t, s.file, tx)
	for range 5 {
		if err := change(t, s, contents{}, random); err != nil {
			t.Fatal(err)
		}
	}
	s.file.knows(t)
	newest, err := s.file.begin()
	if err != nil {
		t.Fatal(err)
	}
	defer s.file.end(newest)
	live, _ := pagesOf(t, s.file, newest)
	s.file.onDamaged = nil
	looked := 0
	for _, id := range old {
		if slices.Contains(live, id) {
			continue
		}
		for _, at := range []int{8, 10, 20} { // flags, count, where its first key lies
			looked++
			at += int(id) * m.pageSize
			b := m.bytes[at]
			for _, flip := range []byte{1, 0} {
				writeOver(t, s.o.Path, int64(at), []byte{b ^ flip})
				err := s.file.guard("look", func() error {
					s.file.pages(tx).all()
					return nil
				})
				if errors.Is(err, ErrDamaged) != (flip != 0) {
					t.Errorf("byte %d of page %d ^ %d: %v", at, id, flip, err)
				}
				s.forgive()
			}
		}
	}
	if looked == 0 {
		t.Error("the older transaction has no page of its own")
	}
}

// TestReaderThatComesBeforeACommitIsLearned: pages are known before anybody goes by them, whoever is first: each commit begins
// by learning the one before.
func TestReaderThatComesBeforeACommitIsLearned(t *testing.T) {
	p := newPristine(t)
	for _, commits := range []int{1, 3} {
		s := p.openCopy(t)
		for i := range commits {
			s.file.change(t, func(tx *bolt.Tx) error { // learns nothing
				key := seal([]byte(fmt.Sprint("key-", i)), nil)
				return tx.Bucket(bucketDigests).Put(key, seal(key, nil))
			})
		}
		if err := s.file.lookAtAll("look"); err != nil {
			t.Fatal(err)
		}
		s.file.knows(t)
	}
}

// TestWhoWritesLooksAtPagesFirst: a leaf page of blocks says that it has fewer records. Nothing that a write goes by leaves
// them out, also where it does not rewrite the page (writelook_test.go has all ways there); and what was damaged while it was
// rewritten is found when that is done.
func TestWhoWritesLooksAtPagesFirst(t *testing.T) {
	p := newPristine(t)
	for name, use := range map[string]func(w *headWrite, lower func()) error{
		"walk": func(w *headWrite, lower func()) error {
			lower()
			return w.reader.leaves(func(digest.Leaf) error { return nil })
		},
		"count": func(w *headWrite, lower func()) error { lower(); w.uncounted = true; return w.recount() },
		"afterwards": func(w *headWrite, lower func()) error {
			err := w.blocks.Put([]byte{0}, []byte{0})
			lower()
			return err
		},
	} {
		s := p.openCopy(t)
		err := s.file.commit(name, func(tx *bolt.Tx) error {
			c := s.file.bucket(tx, bucketBlocks).committed()
			c.First()
			at := c.top()
			where := int64(at.id)*int64(c.pages.pageSize) + 10
			w := newHeadWrite(s.file, tx, s.totals, s.windowNs, 3)
			return use(w, func() {
				writeOver(t, s.o.Path, where, binary.NativeEndian.AppendUint16(nil, uint16(at.count-1)))
			})
		})
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		abandon(t, s)
	}
}

// TestBucketInsideAPageIsLookedAt: a small bucket has no page of its own. That one of its records is missing is found.
func TestBucketInsideAPageIsLookedAt(t *testing.T) {
	s, _ := smallShard(t, 1)
	s.file.onDamaged = nil
	looked := 0
	for _, name := range [][]byte{bucketBlocks, bucketSeries, bucketDigests, bucketMeta} {
		var where []int64
		if err := s.file.view("find", func(tx *bolt.Tx) error {
			b := s.file.bucket(tx, name)
			for at := range min(len(b.inline), pageHeadBytes+2*pageElementBytes) {
				base := &b.pages.bytes[0]
				offset := int64(uintptr(unsafe.Pointer(&b.inline[at])) - uintptr(unsafe.Pointer(base)))
				where = append(where, offset)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, at := range where {
			looked++
			var b [1]byte
			if _, err := s.file.handle.ReadAt(b[:], at); err != nil {
				t.Fatal(err)
			}
			writeOver(t, s.o.Path, at, []byte{b[0] ^ 1})
			if err := s.file.lookAtAll("look"); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s, byte %d: %v", name, at, err)
			}
			writeOver(t, s.o.Path, at, b[:])
			s.forgive()
		}
	}
	if looked == 0 {
		t.Error("no bucket is that small")
	}
}
