package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	fnv64 "hash/fnv"
)

// The pages of a bbolt 1.5 file, as Inspect reads them: from the disk and with every bound checked, where bbolt itself
// trusts what is mapped. Numbers are of the machine's byte order.
//
//	page     id (8) | flags (2) | count (2) | overflow (4) | body          overflow: pages behind it that belong to it
//	meta     flags 4    magic (4) | version (4) | page size (4) | flags (4) | root page (8) | sequence (8) | freelist (8)
//	                    | pages (8) | transaction (8) | FNV-1a 64 of all before it (8)       page 0 has the even transactions
//	branch   flags 1    count x (pos (4) | key size (4) | page (8)) | keys                   key: the first of the page below
//	leaf     flags 2    count x (flags (4) | pos (4) | key size (4) | value size (4)) | (key | value)*
//	                    flags 1: the value is a bucket: root page (8) | sequence (8) | a leaf page, if the root page is 0
//	freelist flags 16   count x id (8), ascending; a count of 65535: the first id is the count
//
// bbolt writes keys and values without gaps, so every pos follows from the sizes before it, the overflow from their sum, and
// what lies behind is zero: nearly each bit of a page is said twice.
const (
	pageHeadBytes    = 16
	pageElementBytes = 16
	bucketHeadBytes  = 16

	pageBranch   = 0x01
	pageLeaf     = 0x02
	pageMeta     = 0x04
	pageFreelist = 0x10

	elementBucket = 1

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	manyFree = 0xffff
)

// pageError is damage of a page, or of how pages hang together.
type pageError struct {
	page uint64
	err  error
}

func (e *pageError) Error() string { return fmt.Sprintf("page %d: %v", e.page, e.err) }
func (e *pageError) Unwrap() error { return e.err }

func badPage(page uint64, format string, args ...any) error {
	return &pageError{page, fmt.Errorf(format, args...)}
}

// boltMeta is what a meta page says.
type boltMeta struct {
	pageSize              int
	root, freelist, pages uint64
	txid                  uint64
	raw                   [metaBytes]byte
}

var errMeta = errors.New("meta page fails its checksum")

// parseMeta reads a meta, which follows the head of its page.
func parseMeta(b []byte) (m boltMeta, err error) {
	if len(b) < metaBytes {
		return m, errShort
	}
	copy(m.raw[:], b)
	number := func(at int) uint64 { return binary.NativeEndian.Uint64(b[at:]) }
	sum := fnv64.New64a()
	sum.Write(b[:metaBytes-8])
	if sum.Sum64() != number(metaBytes-8) {
		return m, errMeta
	}
	if binary.NativeEndian.Uint32(b) != boltMagic || binary.NativeEndian.Uint32(b[4:]) != boltVersion {
		return m, errMeta
	}
	m.pageSize = int(binary.NativeEndian.Uint32(b[8:]))
	m.root, m.freelist, m.pages, m.txid = number(16), number(32), number(40), number(metaTxidAt)
	return m, nil
}

// metaHead reports whether the head of a meta page is as bbolt writes it, and what it says.
func metaHead(id uint64, b []byte) (bool, string) {
	says, flags := binary.NativeEndian.Uint64(b), binary.NativeEndian.Uint16(b[8:])
	return says == id && flags == pageMeta && isZero(b[10:pageHeadBytes]), fmt.Sprintf("page %d, flags %#x", says, flags)
}

// boltPage is a branch, leaf or freelist page with what overflows it. Its bytes are valid while its buffer is.
type boltPage struct {
	id       uint64
	flags    uint16
	count    int
	overflow uint64
	bytes    []byte
}

// pageHead reads the head of a page, and checks all of it that can be checked without the rest.
func pageHead(id uint64, b []byte) (p boltPage, err error) {
	if len(b) < pageHeadBytes {
		return p, badPage(id, "%w", errShort)
	}
	p = boltPage{id: id, flags: binary.NativeEndian.Uint16(b[8:]), count: int(binary.NativeEndian.Uint16(b[10:])),
		overflow: uint64(binary.NativeEndian.Uint32(b[12:])), bytes: b}
	if says := binary.NativeEndian.Uint64(b); says != id {
		return p, badPage(id, "says that it is page %d", says)
	}
	switch p.flags {
	case pageBranch, pageLeaf, pageFreelist:
		return p, nil
	}
	return p, badPage(id, "flags %#x", p.flags)
}

// element is one key of a branch or leaf page.
type element struct {
	flags      uint32
	key, value []byte
	child      uint64 // of a branch page
}

// elements appends the elements of a branch or leaf page to dst, after checking where each lies. used is where the last
// ends.
func (p *boltPage) elements(dst []element) (list []element, used int, err error) {
	used = pageHeadBytes + pageElementBytes*p.count
	if used > len(p.bytes) {
		return nil, 0, badPage(p.id, "%d elements do not fit", p.count)
	}
	for i := range p.count {
		at := pageHeadBytes + pageElementBytes*i
		b := p.bytes[at : at+pageElementBytes]
		number := func(at int) int { return int(binary.NativeEndian.Uint32(b[at:])) }
		var e element
		pos, keySize, valueSize := number(0), number(4), 0
		if p.flags == pageLeaf {
			e.flags = binary.NativeEndian.Uint32(b)
			pos, keySize, valueSize = number(4), number(8), number(12)
		} else {
			e.child = binary.NativeEndian.Uint64(b[8:])
		}
		if at+pos != used || keySize == 0 || keySize > len(p.bytes)-used || valueSize > len(p.bytes)-used-keySize {
			return nil, 0, badPage(p.id, "element %d: %d and %d bytes at %d, which is not where the one before ends", i, keySize, valueSize, pos)
		}
		e.key = p.bytes[used : used+keySize : used+keySize]
		used += keySize
		e.value = p.bytes[used : used+valueSize : used+valueSize]
		used += valueSize
		dst = append(dst, e)
	}
	return dst, used, nil
}

// freeIDs are the ids of a freelist page below pages, which ascend.
func (p *boltPage) freeIDs(pages uint64) (ids []uint64, used int, err error) {
	if p.flags != pageFreelist {
		return nil, 0, badPage(p.id, "no freelist, flags %#x", p.flags)
	}
	count, at := uint64(p.count), pageHeadBytes
	if count == manyFree && len(p.bytes) >= at+8 {
		count = binary.NativeEndian.Uint64(p.bytes[at:])
		at += 8
	}
	if count > uint64(len(p.bytes)-at)/8 {
		return nil, 0, badPage(p.id, "freelist of %d ids in %d bytes", count, len(p.bytes))
	}
	ids = make([]uint64, count)
	last := uint64(1)
	for i := range ids {
		ids[i] = binary.NativeEndian.Uint64(p.bytes[at+8*i:])
		if ids[i] <= last || ids[i] >= pages {
			return nil, 0, badPage(p.id, "freelist has %d behind %d, of %d pages", ids[i], last, pages)
		}
		last = ids[i]
	}
	return ids, at + 8*len(ids), nil
}

var zeroes [4096]byte

// isZero reports whether bytes are all zero.
func isZero(b []byte) bool {
	for len(b) > len(zeroes) {
		if !bytes.Equal(b[:len(zeroes)], zeroes[:]) {
			return false
		}
		b = b[len(zeroes):]
	}
	return bytes.Equal(b, zeroes[:len(b)])
}
