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
// the order of all keys; the sum that is remembered of it; and every page below the end belongs to exactly one thing: a meta,
// the freelist, a bucket, or nothing (then it is on the freelist).
type fileWalk struct {
	disk    *disk
	meta    boltMeta
	owned   bitmap // pages that were found in use
	free    bitmap // pages on the freelist
	frees   int
	buckets map[string]bucketAt
	odd     []string  // what is not as bbolt writes it, where nobody reads it
	sums    *pageSums // that every page of keys has to have; nil: they are not known
}

// bucketAt is where a bucket begins: at a page, or inside a page of the root.
type bucketAt struct {
	root   uint64
	inline []byte
}

const (
	maxDepth   = 24 // of a tree; deeper ones lead in circles
	maxOdd     = 16 // oddities listed
	maxBuckets = 16
)

// bitmap is a set of page ids.
type bitmap []uint64

func newBitmap(n uint64) bitmap     { return make(bitmap, (n+63)/64) }
func (b bitmap) has(id uint64) bool { return b[id/64]&(1<<(id%64)) != 0 }
func (b bitmap) set(id uint64)      { b[id/64] |= 1 << (id % 64) }
func (b bitmap) clear(id uint64)    { b[id/64] &^= 1 << (id % 64) }
func (w *fileWalk) note(s string, a ...any) {
	if len(w.odd) < maxOdd {
		w.odd = append(w.odd, fmt.Sprintf(s, a...))
	}
}

// startWalk reads the freelist and the list of buckets.
func startWalk(d *disk, meta boltMeta, sums *pageSums) (*fileWalk, error) {
	if meta.pages < 4 || meta.pages > 1<<40/uint64(d.pageSize) {
		return nil, badPage(meta.txid%2, "%d pages", meta.pages)
	}
	w := &fileWalk{disk: d, meta: meta, sums: sums, owned: newBitmap(meta.pages), free: newBitmap(meta.pages), buckets: make(map[string]bucketAt)}
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
	list, err := w.read(w.meta.freelist)
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

// read reads a page and takes it as in use.
func (w *fileWalk) read(id uint64) ([]boltPage, error) {
	r := w.disk.pages([]uint64{id}, w.meta.pages, 0)
	return r.list, w.take(&r)
}

// take takes pages that were read as in use.
func (w *fileWalk) take(r *pagesRead) error {
	if r.err != nil {
		return r.err
	}
	for _, p := range r.list {
		for id := p.id; id <= p.id+p.overflow; id++ {
			if w.owned.has(id) || w.free.has(id) {
				return badPage(id, "in use twice, or free too")
			}
			w.owned.set(id)
		}
		if w.sums == nil || p.flags == pageFreelist {
			continue
		}
		if err := w.sums.meet(p.id, p.bytes); err != nil {
			return err
		}
	}
	if w.disk.pace != nil {
		return w.disk.pace(r.bytes)
	}
	return nil
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
	list, err := w.read(root)
	if err != nil {
		return err
	}
	t := treeWalk{fileWalk: w, flags: flags, from: from, each: each}
	return t.walk(t.open(&list[0], nil, 0))
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
