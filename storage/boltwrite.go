package storage

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	fnv64 "hash/fnv"
	"io"
	"os"
	"sync"
)

// boltWriter writes a bbolt file from its first page to its last, as boltpage.go draws it, for what is known as a whole and in
// key order: no tree of it lies in memory, and no page either. bbolt would make as many bytes of pages as the file has.
type boltWriter struct {
	out      *bufio.Writer // at page `pages`
	pageSize int
	pages    uint64    // written so far, the metas included
	head     []byte    // of a page
	roots    []element // of the buckets

	// Of the bucket that is being written:
	level []element // the first key of each leaf page, and the page
	leaf  []element // records of the page that comes next
	size  int       // of that page
	last  []byte    // key
}

const (
	boltMetas      = 2
	minPageKeys    = 2         // of a page behind which others come, as bbolt has them
	boltWriteBytes = 256 << 10 // of one write
)

var boltWriteBuffers = sync.Pool{New: func() any { return bufio.NewWriterSize(nil, boltWriteBytes) }}

var errKeyOrder = errors.New("keys do not ascend")

// writeBolt makes a file of what fn writes, and syncs it.
func writeBolt(name string, fn func(*boltWriter) error) (err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := &boltWriter{out: boltWriteBuffers.Get().(*bufio.Writer), pageSize: os.Getpagesize(), pages: boltMetas}
	defer func() {
		w.out.Reset(nil)
		boltWriteBuffers.Put(w.out)
	}()
	if _, err := f.Seek(int64(boltMetas*w.pageSize), io.SeekStart); err != nil {
		return err
	}
	w.out.Reset(f)
	if err := fn(w); err != nil {
		return err
	}
	metas, err := w.finish()
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(metas, 0); err != nil {
		return err
	}
	return f.Sync()
}

// bucket writes a bucket. Buckets come in the order of their names, and records, which are not kept, in that of their keys.
func (w *boltWriter) bucket(name []byte, records func(put func(key, value []byte) error) error) error {
	w.level, w.leaf, w.size, w.last = nil, w.leaf[:0], pageHeadBytes, nil
	if err := records(w.put); err != nil {
		return fmt.Errorf("bucket %s: %w", name, err)
	}
	if len(w.leaf) > 0 || len(w.level) == 0 {
		if err := w.endLeaf(); err != nil {
			return err
		}
	}
	root, err := w.branches(w.level)
	if err != nil {
		return err
	}
	value := append(binary.NativeEndian.AppendUint64(nil, root), make([]byte, bucketHeadBytes-8)...)
	w.roots = append(w.roots, element{flags: elementBucket, key: name, value: value})
	return nil
}

func (w *boltWriter) put(key, value []byte) error {
	if bytes.Compare(key, w.last) <= 0 {
		return fmt.Errorf("%w: %x behind %x", errKeyOrder, key, w.last)
	}
	if w.full(len(w.leaf), w.size, len(key)+len(value)) {
		if err := w.endLeaf(); err != nil {
			return err
		}
	}
	w.leaf = append(w.leaf, element{key: key, value: value})
	w.size += pageElementBytes + len(key) + len(value)
	w.last = key
	return nil
}

// full reports whether an element belongs on the next page.
func (w *boltWriter) full(elements, size, bytes int) bool {
	return elements >= minPageKeys && float64(size+pageElementBytes+bytes) > leafFill*float64(w.pageSize)
}

func (w *boltWriter) endLeaf() error {
	var first []byte
	if len(w.leaf) > 0 {
		first = w.leaf[0].key
	}
	w.level = append(w.level, element{key: first, child: w.pages})
	err := w.page(pageLeaf, w.leaf)
	w.leaf, w.size = w.leaf[:0], pageHeadBytes
	return err
}

// branches writes what leads to the pages of a level, and gives the page that leads to all.
func (w *boltWriter) branches(level []element) (root uint64, err error) {
	for len(level) > 1 {
		var above []element
		for len(level) > 0 {
			n, size := 0, pageHeadBytes
			for n < len(level) && (!w.full(n, size, len(level[n].key)) || n == len(level)-1) { // none is left alone
				size += pageElementBytes + len(level[n].key)
				n++
			}
			above = append(above, element{key: level[0].key, child: w.pages})
			if err := w.page(pageBranch, level[:n]); err != nil {
				return 0, err
			}
			level = level[n:]
		}
		level = above
	}
	return level[0].child, nil
}

// page writes a page with what overflows it.
func (w *boltWriter) page(flags uint16, list []element) error {
	used := pageHeadBytes + pageElementBytes*len(list)
	at := used
	for _, e := range list {
		used += len(e.key) + len(e.value)
	}
	pages := (used + w.pageSize - 1) / w.pageSize
	order := binary.NativeEndian
	b := order.AppendUint64(w.head[:0], w.pages)
	b = order.AppendUint16(b, flags)
	b = order.AppendUint16(b, uint16(len(list)))
	b = order.AppendUint32(b, uint32(pages-1))
	for _, e := range list {
		pos := uint32(at - len(b)) // from here
		if flags == pageBranch {
			b = order.AppendUint32(b, pos)
			b = order.AppendUint32(b, uint32(len(e.key)))
			b = order.AppendUint64(b, e.child)
		} else {
			b = order.AppendUint32(b, e.flags)
			b = order.AppendUint32(b, pos)
			b = order.AppendUint32(b, uint32(len(e.key)))
			b = order.AppendUint32(b, uint32(len(e.value)))
		}
		at += len(e.key) + len(e.value)
	}
	w.head = b
	_, err := w.out.Write(b)
	for i := 0; i < len(list) && err == nil; i++ {
		if _, err = w.out.Write(list[i].key); err == nil {
			_, err = w.out.Write(list[i].value)
		}
	}
	for rest := pages*w.pageSize - used; rest > 0 && err == nil; {
		n := min(rest, len(zeroes))
		_, err = w.out.Write(zeroes[:n])
		rest -= n
	}
	w.pages += uint64(pages)
	return err
}

// finish writes the list of buckets and that of free pages, and gives the pages that make all count.
func (w *boltWriter) finish() (metas []byte, err error) {
	root, freelist := w.pages, w.pages+1
	if err := w.page(pageLeaf, w.roots); err != nil {
		return nil, err
	}
	if freelist != w.pages {
		return nil, fmt.Errorf("%d buckets do not fit on a page", len(w.roots))
	}
	if err := w.page(pageFreelist, nil); err != nil {
		return nil, err
	}
	metas = make([]byte, 0, boltMetas*w.pageSize)
	for id := range uint64(boltMetas) {
		metas = append(w.meta(metas, id, root, freelist), make([]byte, w.pageSize-metaAt-metaBytes)...)
	}
	return metas, w.out.Flush()
}

// meta appends the page of a transaction with the number of that page.
func (w *boltWriter) meta(dst []byte, id, root, freelist uint64) []byte {
	order := binary.NativeEndian
	dst = order.AppendUint64(dst, id)
	dst = append(order.AppendUint16(dst, pageMeta), zeroes[:metaAt-10]...)
	from := len(dst)
	dst = order.AppendUint32(dst, boltMagic)
	dst = order.AppendUint32(dst, boltVersion)
	dst = order.AppendUint32(dst, uint32(w.pageSize))
	dst = order.AppendUint32(dst, 0)
	for _, v := range []uint64{root, 0, freelist, w.pages, id} {
		dst = order.AppendUint64(dst, v)
	}
	sum := fnv64.New64a()
	sum.Write(dst[from:])
	return order.AppendUint64(dst, sum.Sum64())
}
