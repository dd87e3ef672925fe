package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unsafe"

	bolt "go.etcd.io/bbolt"
)

// bbolt follows pages as they are mapped. A branch that leads back to itself sends a cursor round until memory has run out,
// which ends the process; behind a wrong key or page number, and in a leaf page that says that it has fewer records, records
// are not found. So the file remembers sums of its pages of keys as commits have left them (pagesums.go), and every page is
// looked at before anything of it is gone by: by the cursor of a reader where it comes to it, and before bbolt does by whoever
// writes (bucket.go). What a commit has replaced is looked at again after it.

const maxTreeDepth = 32

var errPage = errors.New("page is not what was committed")

// guides makes sure that a transaction begins on pages that are known. The page of the buckets is looked at where a bucket is
// looked for.
func (f *file) guides(tx *bolt.Tx) error {
	shown := uint64(tx.ID())
	if tx.Writable() {
		shown--
	}
	if f.sums.Load().txid.Load() >= shown { // above: a commit came between
		return nil
	}
	return f.learnPages(tx, shown)
}

// check makes sure that a page is what it was, and looks closely at one that is not known, before it learns it.
func (s *pageSums) check(id uint64, page []byte, root bool) error {
	if s.at(id).Load() == 0 {
		if err := sound(id, page, root); err != nil {
			return err
		}
	}
	return s.meet(id, page)
}

// meet is check of a page that somebody else looks closely at.
func (s *pageSums) meet(id uint64, page []byte) error {
	sum, ok := pageSum(page)
	if !ok || !s.at(id).CompareAndSwap(0, sum) && s.at(id).Load() != sum {
		return badPage(id, "%w", errPage)
	}
	return nil
}

// sound looks at a page that is not known as closely as its bytes allow: they say nearly everything twice. Only the page of
// the buckets leads to buckets.
func sound(id uint64, page []byte, root bool) error {
	p, err := pageHead(id, page)
	if err != nil {
		return err
	}
	if p.flags == pageFreelist || root && p.flags != pageLeaf || p.flags == pageBranch && p.count == 0 {
		return badPage(id, "%w: flags %d, %d elements", errPage, p.flags, p.count)
	}
	list, used, err := p.elements(make([]element, 0, min(p.count, len(page)/pageElementBytes)))
	if err != nil {
		return err
	}
	if size := len(page) / int(p.overflow+1); (used+size-1)/size != int(p.overflow+1) {
		return badPage(id, "%w: %d bytes in use, on %d pages", errPage, used, p.overflow+1)
	}
	for i, e := range list {
		if i > 0 && bytes.Compare(list[i-1].key, e.key) >= 0 {
			return badPage(id, "%w: key %x behind %x", errPage, e.key, list[i-1].key)
		}
		if p.flags == pageLeaf && (e.flags == elementBucket) != root {
			return badPage(id, "%w: key %x has flags %#x", errPage, e.key, e.flags)
		}
	}
	return nil
}

// below yields the pages that a page leads to: of a leaf, the buckets that have pages of their own.
func below(page []byte, yield func(id uint64) error) error {
	flags, count := headOf(page)
	for i := range count {
		var id uint64
		if flags&pageBranch != 0 {
			_, id = branchElement(page, i)
		} else if flags, _, value := leafElement(page, i); flags&elementBucket != 0 && len(value) >= bucketHeadBytes {
			id = binary.NativeEndian.Uint64(value) // 0: it lies in this page
		}
		if id == 0 {
			continue
		}
		if err := yield(id); err != nil {
			return err
		}
	}
	return nil
}

// branchWalk learns the branch pages of a file that is not known, and which pages are leaves. Those are learned when they are
// read: a check at open comes to all of them.
type branchWalk struct {
	mapped
	sums *pageSums
}

func (w *branchWalk) learn(root uint64) error {
	w.sums.grow(w.pages())
	page, err := w.add(root, true)
	if err != nil {
		return err
	}
	return below(page, w.tree)
}

// tree learns those of one tree, level after level: all its leaves lie on the same one.
func (w *branchWalk) tree(root uint64) error {
	level := []uint64{root}
	for range maxTreeDepth {
		top, err := w.page(level[0])
		if err != nil {
			return err
		}
		if flags, _ := headOf(top); flags&pageBranch == 0 {
			for _, id := range level {
				if err := w.enter(id); err != nil {
					return err
				}
			}
			return nil
		}
		var next []uint64
		for _, id := range level {
			page, err := w.add(id, false)
			if err != nil {
				return err
			}
			if flags, _ := headOf(page); flags != pageBranch {
				return badPage(id, "%w: a leaf beside branches", errPage)
			}
			_ = below(page, func(id uint64) error { next = append(next, id); return nil })
		}
		level = next
	}
	return badPage(root, "%w: a tree of more than %d levels", errPage, maxTreeDepth)
}

// enter makes a page live.
func (w *branchWalk) enter(id uint64) error {
	if id < boltMetas || id >= w.pages() || w.sums.live.has(id) {
		return badPage(id, "%w: it is led to twice, or of %d pages", errPage, w.pages())
	}
	w.sums.live.set(id)
	return nil
}

func (w *branchWalk) add(id uint64, root bool) ([]byte, error) {
	page, err := w.page(id)
	if err == nil {
		err = w.enter(id)
	}
	if err != nil {
		return nil, err
	}
	return page, w.sums.check(id, page, root)
}

// mapped is what a transaction sees of the file. It ends with the transaction.
type mapped struct {
	bytes    []byte
	pageSize int
}

func (f *file) mapped(tx *bolt.Tx) mapped {
	info := f.db.Info()
	return mapped{unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&info.Data))), tx.Size()), info.PageSize}
}

func (m mapped) pages() uint64 { return uint64(len(m.bytes) / m.pageSize) }

// page is a page with what overflows it.
func (m mapped) page(id uint64) ([]byte, error) {
	all := m.pages()
	if id < boltMetas || id >= all {
		return nil, badPage(id, "%w: the file has %d pages", errPage, all)
	}
	head := m.bytes[int(id)*m.pageSize:]
	pages := 1 + uint64(number32(head[12:]))
	if got := binary.NativeEndian.Uint64(head); got != id || pages > all-id {
		return nil, badPage(id, "%w: it says that it is page %d, and %d long, of %d", errPage, got, pages, all)
	}
	return head[:int(pages)*m.pageSize], nil
}

// pageReader gives the pages of a transaction, each after a look at it. Where one is not what it was, it panics as bbolt does
// over pages that it cannot read, with a *pageError: guard makes damage of both.
type pageReader struct {
	mapped
	sums   *pageSums
	root   uint64
	recent [recentPages]uint64 // that were looked at just now
	next   int
}

// recentPages are enough for the way to a key, and for its neighbours.
const recentPages = 8

func (f *file) pages(tx *bolt.Tx) *pageReader {
	return &pageReader{mapped: f.mapped(tx), sums: f.sums.Load(), root: uint64(tx.Cursor().Bucket().Root())}
}

// forget makes the next use of every page look at it again.
func (p *pageReader) forget() { p.recent = [recentPages]uint64{} }

func (p *pageReader) page(id uint64) []byte {
	page, err := p.mapped.page(id)
	if err == nil {
		for _, seen := range p.recent {
			if seen == id {
				return page
			}
		}
		err = p.sums.check(id, page, id == p.root)
	}
	if err != nil {
		panic(err)
	}
	p.recent[p.next%recentPages] = id
	p.next++
	return page
}

// all looks at every page of keys.
func (p *pageReader) all() {
	var walk func(id uint64, depth int) error
	walk = func(id uint64, depth int) error {
		if depth > maxTreeDepth {
			panic(badPage(id, "%w: %d levels deep", errPage, depth))
		}
		return below(p.page(id), func(id uint64) error { return walk(id, depth+1) })
	}
	_ = walk(p.root, 0)
}
