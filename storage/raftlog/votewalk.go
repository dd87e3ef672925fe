package raftlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
)

// The structure of a bbolt file as raft-boltdb lays it out (a vote file, or a log of the boltdb engine), walked with
// every bound checked, where bbolt trusts what it has mapped (and its own check panics in a goroutine of its own).
// Layout: see package storage, boltpage.go; numbers are of the machine's byte order.
const (
	votePageHead   = 16 // id 8 | flags 2 | count 2 | overflow 4
	voteElement    = 16 // of a branch or leaf page
	voteMetaSize   = 64
	voteMagic      = 0xED0CDAED
	voteMaxDepth   = 16
	pageIsBranch   = 0x01
	pageIsLeaf     = 0x02
	pageIsFreelist = 0x10
	manyFree       = 0xffff
)

var errPage = errors.New("page is damaged")

// voteWalk is one walk over a whole file.
type voteWalk struct {
	read  func(from, n uint64) ([]byte, error) // bytes of the file, which reach that far
	size  uint64                               // of a page
	pages uint64
	used  map[uint64]bool
}

type voteMeta struct{ size, root, freelist, pages, txid uint64 }

var native = binary.NativeEndian

func parseVoteMeta(b []byte, page uint64) (m voteMeta, err error) {
	if len(b) < votePageHead+voteMetaSize || native.Uint64(b) != page {
		return m, fmt.Errorf("meta %d: %w", page, errPage)
	}
	b = b[votePageHead:]
	sum := fnv.New64a()
	sum.Write(b[:voteMetaSize-8])
	if sum.Sum64() != native.Uint64(b[voteMetaSize-8:]) || native.Uint32(b) != voteMagic {
		return m, fmt.Errorf("meta %d: checksum: %w", page, errPage)
	}
	return voteMeta{
		size: uint64(native.Uint32(b[8:])), root: native.Uint64(b[16:]), freelist: native.Uint64(b[32:]),
		pages: native.Uint64(b[40:]), txid: native.Uint64(b[48:]),
	}, nil
}

// walkVotes gives the keys and values of bucket "conf". Any error is damage.
func walkVotes(b []byte, pageSize int) (map[string][]byte, error) {
	read := func(from, n uint64) ([]byte, error) { return b[from : from+n], nil }
	conf := make(map[string][]byte)
	err := walkFile(read, uint64(len(b)), uint64(pageSize), func(bucket, k, v []byte) error {
		if bytes.Equal(bucket, bucketConf) {
			conf[string(k)] = v
		}
		return nil
	})
	return conf, err
}

// inBuckets is given what a bucket holds, in the order of keys.
type inBuckets func(bucket, k, v []byte) error

// walkFile walks the whole of a file of so many bytes, and gives what the buckets hold. An error that neither read nor each
// made is damage.
func walkFile(read func(from, n uint64) ([]byte, error), bytes, size uint64, each inBuckets) error {
	m, err := newestMeta(read, bytes, size)
	if err != nil {
		return err
	}
	w := &voteWalk{read: read, size: size, pages: m.pages, used: map[uint64]bool{0: true, 1: true}}
	if err := w.buckets(m.root, each); err != nil {
		return err
	}
	return w.freelist(m.freelist)
}

// newestMeta reads both meta pages. Both are whole in any file that was not damaged: a commit writes one of them, last.
func newestMeta(read func(from, n uint64) ([]byte, error), bytes, size uint64) (m voteMeta, err error) {
	if bytes < 4*size {
		return m, fmt.Errorf("file of %d bytes: %w", bytes, errPage)
	}
	b, err := read(0, 2*size)
	if err != nil {
		return m, err
	}
	m, err = parseVoteMeta(b, 0)
	second, err2 := parseVoteMeta(b[size:], 1)
	if err := errors.Join(err, err2); err != nil {
		return m, err
	}
	if m.txid+1 != second.txid && second.txid+1 != m.txid { // each commit writes the other one
		return m, fmt.Errorf("metas of commits %d and %d: %w", m.txid, second.txid, errPage)
	}
	if second.txid > m.txid {
		m = second
	}
	if m.size != size || m.pages > bytes/size || m.pages < 4 {
		return m, fmt.Errorf("meta says %d pages of %d: %w", m.pages, m.size, errPage)
	}
	return m, nil
}

// buckets walks the two buckets.
func (w *voteWalk) buckets(root uint64, give inBuckets) error {
	logs := false
	err := w.tree(root, nil, 0, func(name, v []byte, bucket bool) error {
		if !bucket || len(v) < 16 {
			return fmt.Errorf("bucket %q: %w", name, errPage)
		}
		if !bytes.Equal(name, bucketLogs) && !bytes.Equal(name, bucketConf) {
			return fmt.Errorf("bucket %q: %w", name, errPage)
		}
		logs = logs || bytes.Equal(name, bucketLogs)
		each := func(k, v []byte, nested bool) error {
			if nested {
				return fmt.Errorf("bucket in a bucket: %w", errPage)
			}
			return give(name, k, v)
		}
		if root := native.Uint64(v); root != 0 {
			return w.tree(root, nil, 0, each)
		}
		return w.elements(v[16:], pageIsLeaf, nil, 0, each)
	})
	if err == nil && !logs {
		err = fmt.Errorf("no bucket %s: %w", bucketLogs, errPage)
	}
	return err
}

// page gives a page with what overflows it, once.
func (w *voteWalk) page(id uint64) ([]byte, error) {
	if id < 2 || id >= w.pages {
		return nil, fmt.Errorf("page %d of %d: %w", id, w.pages, errPage)
	}
	p, err := w.read(id*w.size, w.size)
	if err != nil {
		return nil, err
	}
	n := uint64(native.Uint32(p[12:])) + 1
	if native.Uint64(p) != id || n > w.pages-id {
		return nil, fmt.Errorf("page %d: head: %w", id, errPage)
	}
	for i := id; i < id+n; i++ {
		if w.used[i] {
			return nil, fmt.Errorf("page %d: in use twice: %w", i, errPage)
		}
		w.used[i] = true
	}
	if n == 1 {
		return p, nil
	}
	return w.read(id*w.size, n*w.size)
}

// tree yields the elements below a page in key order. low is the key that led here.
func (w *voteWalk) tree(id uint64, low []byte, depth int, each func(k, v []byte, bucket bool) error) error {
	p, err := w.page(id)
	if err != nil {
		return err
	}
	flags := native.Uint16(p[8:])
	if depth > voteMaxDepth || flags != pageIsLeaf && flags != pageIsBranch {
		return fmt.Errorf("page %d: flags %#x: %w", id, flags, errPage)
	}
	return w.elements(p, flags, low, depth, each)
}

func (w *voteWalk) elements(p []byte, flags uint16, low []byte, depth int, each func(k, v []byte, bucket bool) error) error {
	if len(p) < votePageHead || native.Uint16(p[8:]) != flags {
		return fmt.Errorf("head of a page: %w", errPage)
	}
	count := int(native.Uint16(p[10:]))
	if votePageHead+count*voteElement > len(p) || flags == pageIsBranch && count == 0 {
		return fmt.Errorf("%d elements: %w", count, errPage)
	}
	last := low
	for i := range count {
		at := votePageHead + i*voteElement
		e := p[at : at+voteElement]
		pos, kind, keySize, valueSize := uint64(native.Uint32(e)), uint32(0), uint64(native.Uint32(e[4:])), uint64(0)
		if flags == pageIsLeaf {
			kind, pos, keySize, valueSize = native.Uint32(e), uint64(native.Uint32(e[4:])), uint64(native.Uint32(e[8:])), uint64(native.Uint32(e[12:]))
		}
		from := uint64(at) + pos
		if from+keySize+valueSize > uint64(len(p)) || kind > 1 {
			return fmt.Errorf("element %d: %w", i, errPage)
		}
		k, v := p[from:from+keySize], p[from+keySize:from+keySize+valueSize]
		if order := bytes.Compare(last, k); order > 0 || order == 0 && i > 0 {
			return fmt.Errorf("element %d: order of keys: %w", i, errPage)
		}
		last = k
		var err error
		if flags == pageIsLeaf {
			err = each(k, v, kind == 1)
		} else {
			err = w.tree(native.Uint64(e[8:]), k, depth+1, each)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// freelist checks that each page is in use or free, and none is both.
func (w *voteWalk) freelist(id uint64) error {
	p, err := w.page(id)
	if err != nil {
		return err
	}
	n, at := uint64(native.Uint16(p[10:])), votePageHead
	if n == manyFree {
		n, at = native.Uint64(p[at:]), at+8
	}
	if native.Uint16(p[8:]) != pageIsFreelist || n > uint64(len(p)-at)/8 {
		return fmt.Errorf("freelist: %w", errPage)
	}
	for i := range n {
		free := native.Uint64(p[uint64(at)+8*i:])
		if free >= w.pages || w.used[free] {
			return fmt.Errorf("freelist: page %d: %w", free, errPage)
		}
		w.used[free] = true
	}
	if uint64(len(w.used)) != w.pages {
		return fmt.Errorf("%d of %d pages are in use or free: %w", len(w.used), w.pages, errPage)
	}
	return nil
}
