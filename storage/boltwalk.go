package storage

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// fileWalk reads the structure of a file as one transaction left it, page by page from the disk. Every error that is a
// *pageError is damage of structure.
//
// What it holds every page against: its own head and layout (boltpage.go); the key that leads to it, which is its first;
// the order of all keys; and every page below the end belongs to exactly one thing: a meta, the freelist, a bucket, or
// nothing (then it is on the freelist).
type fileWalk struct {
	disk    *disk
	meta    boltMeta
	owned   bitmap // pages that were found in use
	free    bitmap // pages on the freelist
	frees   int
	buckets map[string]bucketAt
	odd     []string // what is not as bbolt writes it, where nobody reads it
}

// bucketAt is where a bucket begins: at a page, or inside a page of the root.
type bucketAt struct {
	root   uint64
	inline []byte
}

const (
	maxDepth   = 24  // of a tree; deeper ones lead in circles
	walkGroup  = 128 // pages below a branch that are read together
	maxOdd     = 16  // oddities listed
	maxBuckets = 16
)

// bitmap is a set of page ids.
type bitmap []uint64

func newBitmap(n uint64) bitmap     { return make(bitmap, (n+63)/64) }
func (b bitmap) has(id uint64) bool { return b[id/64]&(1<<(id%64)) != 0 }
func (b bitmap) set(id uint64)      { b[id/64] |= 1 << (id % 64) }
func (w *fileWalk) note(s string, a ...any) {
	if len(w.odd) < maxOdd {
		w.odd = append(w.odd, fmt.Sprintf(s, a...))
	}
}

// startWalk reads the freelist and the list of buckets.
func startWalk(d *disk, meta boltMeta) (*fileWalk, error) {
	if meta.pages < 4 || meta.pages > 1<<40/uint64(d.pageSize) {
		return nil, badPage(meta.txid%2, "%d pages", meta.pages)
	}
	w := &fileWalk{disk: d, meta: meta, owned: newBitmap(meta.pages), free: newBitmap(meta.pages), buckets: make(map[string]bucketAt)}
	w.owned.set(0)
	w.owned.set(1)
	if err := w.readFreelist(); err != nil {
		return nil, err
	}
	return w, w.tree(meta.root, elementBucket, nil, func(k, v []byte) error {
		if len(v) < bucketHeadBytes || len(w.buckets) == maxBuckets {
			return badPage(meta.root, "bucket %q of %d bytes", k, len(v))
		}
		if sequence := binary.NativeEndian.Uint64(v[8:]); sequence != 0 {
			w.note("bucket %q: its sequence, which is not used, is %d", k, sequence)
		}
		at := bucketAt{root: binary.NativeEndian.Uint64(v)}
		if at.root == 0 {
			at.inline = bytes.Clone(v[bucketHeadBytes:])
		} else if len(v) != bucketHeadBytes {
			return badPage(meta.root, "bucket %q has both a page and %d bytes", k, len(v))
		}
		w.buckets[string(k)] = at
		return nil
	})
}

func (w *fileWalk) readFreelist() error {
	list, _, err := w.read([]uint64{w.meta.freelist})
	if err != nil {
		return err
	}
	ids, used, err := list[0].freeIDs(w.meta.pages)
	if err != nil {
		return err
	}
	w.tail(&list[0], used)
	for _, id := range ids {
		if w.owned.has(id) {
			return badPage(id, "in use and on the freelist")
		}
		w.free.set(id)
	}
	w.frees = len(ids)
	return nil
}

// read reads pages and takes them as in use.
func (w *fileWalk) read(ids []uint64) ([]boltPage, []pageRun, error) {
	list, runs, err := w.disk.pages(ids, w.meta.pages)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range list {
		for id := p.id; id <= p.id+p.overflow; id++ {
			if w.owned.has(id) || w.free.has(id) {
				return nil, nil, badPage(id, "in use twice, or free too")
			}
			w.owned.set(id)
		}
	}
	return list, runs, nil
}

// tail notes bytes behind what a page holds that are not zero.
func (w *fileWalk) tail(p *boltPage, used int) {
	if !isZero(p.bytes[used:]) {
		w.note("page %d: something behind its last byte in use", p.id)
	}
}

// bucket yields the records of a bucket in key order, from the last one at or below a key on at the latest; nil: all. Keys
// and values are valid during the call.
func (w *fileWalk) bucket(name, from []byte, each func(k, v []byte) error) error {
	at, ok := w.buckets[string(name)]
	if !ok {
		return badPage(w.meta.root, "bucket %s is missing", name)
	}
	if at.inline == nil {
		return w.tree(at.root, 0, from, each)
	}
	t := treeWalk{fileWalk: w, each: each}
	p := boltPage{id: w.meta.root, bytes: at.inline}
	if len(at.inline) < pageHeadBytes || !isZero(at.inline[:8]) || !isZero(at.inline[12:16]) ||
		binary.NativeEndian.Uint16(at.inline[8:]) != pageLeaf {
		return badPage(w.meta.root, "bucket %s: head of its page", name)
	}
	p.flags, p.count = pageLeaf, int(binary.NativeEndian.Uint16(at.inline[10:]))
	list, used, err := p.elements(nil)
	if err == nil && used != len(at.inline) {
		err = badPage(w.meta.root, "bucket %s: %d bytes, %d in use", name, len(at.inline), used)
	}
	if err != nil {
		return err
	}
	return t.leaf(&p, list)
}

func (w *fileWalk) tree(root uint64, flags uint32, from []byte, each func(k, v []byte) error) error {
	list, _, err := w.read([]uint64{root})
	if err != nil {
		return err
	}
	t := treeWalk{fileWalk: w, flags: flags, from: from, each: each}
	return t.page(&list[0], nil, 0)
}

// forget makes pages that were read before fit to be read again: for walks to single leaves. account is of no use after it.
func (w *fileWalk) forget() { clear(w.owned[:]) }

// account makes sure, after all buckets were read whole, that no page is left over.
func (w *fileWalk) account() error {
	for id := range w.meta.pages {
		if !w.owned.has(id) && !w.free.has(id) {
			return badPage(id, "neither in use nor free")
		}
	}
	return nil
}

// treeWalk is the walk through one bucket.
type treeWalk struct {
	*fileWalk
	flags uint32 // of each record
	from  []byte
	each  func(k, v []byte) error
	last  []byte // key
	begun bool
}

// page walks through a page that a key leads to; nil: the root.
func (t *treeWalk) page(p *boltPage, key []byte, depth int) error {
	if depth > maxDepth {
		return badPage(p.id, "%d levels deep", depth)
	}
	if p.flags == pageFreelist {
		return badPage(p.id, "a freelist")
	}
	list, used, err := p.elements(make([]element, 0, p.count))
	if err != nil {
		return err
	}
	if want := (used + t.disk.pageSize - 1) / t.disk.pageSize; want != len(p.bytes)/t.disk.pageSize {
		return badPage(p.id, "%d bytes in use, on %d pages", used, len(p.bytes)/t.disk.pageSize)
	}
	t.tail(p, used)
	if len(list) == 0 && (depth > 0 || p.flags == pageBranch) {
		return badPage(p.id, "empty")
	}
	if key != nil && !bytes.Equal(list[0].key, key) {
		return badPage(p.id, "begins with %x, the key that leads to it is %x", list[0].key, key)
	}
	if p.flags == pageLeaf {
		return t.leaf(p, list)
	}
	return t.branch(p.id, list, depth)
}

// branch walks through what is below a branch page.
func (t *treeWalk) branch(id uint64, list []element, depth int) error {
	for i := 1; i < len(list); i++ {
		if bytes.Compare(list[i-1].key, list[i].key) >= 0 {
			return badPage(id, "key %x leads on behind %x", list[i].key, list[i-1].key)
		}
	}
	for len(list) > 1 && t.from != nil && bytes.Compare(list[1].key, t.from) <= 0 {
		list = list[1:]
	}
	for len(list) > 0 {
		group := list[:min(len(list), walkGroup)]
		list = list[len(group):]
		ids := make([]uint64, len(group))
		for i, e := range group {
			ids[i] = e.child
		}
		pages, runs, err := t.read(ids)
		if err != nil {
			return err
		}
		for i := range pages {
			if err := t.page(&pages[i], group[i].key, depth+1); err != nil {
				return err
			}
		}
		t.disk.release(runs)
	}
	return nil
}

func (t *treeWalk) leaf(p *boltPage, list []element) error {
	for _, e := range list {
		if e.flags != t.flags {
			return badPage(p.id, "key %x has flags %#x", e.key, e.flags)
		}
		if t.begun && bytes.Compare(t.last, e.key) >= 0 {
			return badPage(p.id, "key %x lies behind %x", e.key, t.last)
		}
		t.begun, t.last = true, append(t.last[:0], e.key...)
		if err := t.each(e.key, e.value); err != nil {
			return err
		}
	}
	return nil
}
