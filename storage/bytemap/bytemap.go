// Package bytemap says what each byte of a shard's file is. It is for tests, which damage files on purpose and have to know
// what they hit.
//
// A class is a name for bytes with one meaning: "block value", "branch key", "older meta". The package reads the pages of
// a healthy bbolt file by itself, and shares nothing with package storage, whose findings are held against it. It opens
// and changes nothing.
package bytemap

import (
	"encoding/binary"
	"fmt"
)

// Harmless are the classes that nobody reads.
var Harmless = []string{"older meta", "free page", "end of the file", "tail of a page", "tail of a meta page"}

// Mute are those of the harmless classes whose bytes mean nothing: what is damaged in them cannot be told from what was
// there.
var Mute = []string{"free page", "end of the file"}

// The layout of a bbolt file, as in package storage (boltpage.go), and of the records in it (format.go).
const (
	headBytes    = 16 // of a page: id 8 | flags 2 | count 2 | overflow 4
	elementBytes = 16 // of a record, in front of keys and values
	metaBytes    = 64 // magic 4 | version 4 | page size 4 | flags 4 | root 16 | freelist 8 | pages 8 | transaction 8 | sum 8

	isBranch   = 0x01
	isFreelist = 0x10
	manyFree   = 0xffff // the count that says that the first id is the count

	bucketBytes  = 16 // root 8 | sequence 8
	rootBytes    = 8
	leafKeyBytes = 9 // window 8 | slot 1
	crcBytes     = 4 // behind each value
	digestBytes  = 32 + 3*8
)

// mapper reads one file.
type mapper struct {
	file    []byte
	size    int // of a page
	classes map[string][]int
}

// Of gives the offsets of the bytes of each class. Padding is of none. An error says that the file is damaged, or none.
func Of(file []byte) (map[string][]int, error) {
	if len(file) < headBytes+metaBytes {
		return nil, fmt.Errorf("a file of %d bytes", len(file))
	}
	m := &mapper{file: file, size: int(binary.NativeEndian.Uint32(file[headBytes+8:])), classes: make(map[string][]int)}
	if m.size < headBytes+metaBytes || len(file) < 4*m.size {
		return nil, fmt.Errorf("a file of %d bytes, with pages of %d", len(file), m.size)
	}
	newer := 0
	if m.meta(1, 48) > m.meta(0, 48) {
		newer = 1
	}
	m.span("newest meta", newer*m.size+headBytes, metaBytes)
	m.span("older meta", (1-newer)*m.size+headBytes, metaBytes)
	m.span("tail of a meta page", newer*m.size+headBytes+metaBytes, m.size-headBytes-metaBytes)
	pages, list := int(m.meta(newer, 40)), int(m.meta(newer, 32))
	free, err := m.freelist(list, pages)
	if err != nil {
		return nil, err
	}
	m.span("end of the file", pages*m.size, len(file)-pages*m.size)
	for id := 2; id < pages; {
		_, overflow := m.head(id)
		switch {
		case free[id]:
			overflow = 0
		case id != list:
			if err := m.page(id, overflow, id == int(m.meta(newer, 16))); err != nil {
				return nil, err
			}
		}
		id += 1 + overflow
	}
	return m.classes, nil
}

// meta is a number of a meta.
func (m *mapper) meta(page, at int) uint64 {
	return binary.NativeEndian.Uint64(m.file[page*m.size+headBytes+at:])
}

func (m *mapper) head(id int) (count, overflow int) {
	b := m.file[id*m.size:]
	return int(binary.NativeEndian.Uint16(b[10:])), int(binary.NativeEndian.Uint32(b[12:]))
}

func (m *mapper) flags(id int) uint16 { return binary.NativeEndian.Uint16(m.file[id*m.size+8:]) }

func (m *mapper) span(class string, at, n int) {
	for i := range n {
		m.classes[class] = append(m.classes[class], at+i)
	}
}

func (m *mapper) freelist(list, pages int) (free map[int]bool, err error) {
	if list < 2 || list >= pages || pages*m.size > len(m.file) || m.flags(list) != isFreelist {
		return nil, fmt.Errorf("freelist at page %d of %d", list, pages)
	}
	at, ids := list*m.size+headBytes, 0
	if ids, _ = m.head(list); ids == manyFree {
		ids, at = int(binary.NativeEndian.Uint64(m.file[at:])), at+8
	}
	m.span("freelist head", list*m.size, headBytes)
	m.span("freelist id", list*m.size+headBytes, at-list*m.size-headBytes+8*ids)
	free = make(map[int]bool, ids)
	for i := range ids {
		id := int(binary.NativeEndian.Uint64(m.file[at+8*i:]))
		free[id] = true
		m.span("free page", id*m.size, m.size)
	}
	return free, nil
}

// page classifies a branch or leaf page.
func (m *mapper) page(id, overflow int, root bool) error {
	count, _ := m.head(id)
	kind, at := "leaf", id*m.size
	if m.flags(id) == isBranch {
		kind = "branch"
	}
	m.span(kind+" head", at, headBytes)
	m.span(kind+" element", at+headBytes, elementBytes*count)
	used := at + headBytes + elementBytes*count
	for i := range count {
		e := m.file[at+headBytes+elementBytes*i:]
		number := func(at int) int { return int(binary.NativeEndian.Uint32(e[at:])) }
		key, value := number(4), 0
		if kind == "leaf" {
			key, value = number(8), number(12)
		}
		if key == 0 || used+key+value > at+(1+overflow)*m.size {
			return fmt.Errorf("page %d: element %d of %d and %d bytes", id, i, key, value)
		}
		switch {
		case root:
			m.bucket(used, key, value)
		case kind == "branch":
			m.span("branch key", used, key)
		default:
			m.record(used, key, value)
		}
		used += key + value
	}
	m.span("tail of a page", used, at+(1+overflow)*m.size-used)
	return nil
}

func (m *mapper) bucket(at, key, value int) {
	m.span("bucket key", at, key)
	m.span("bucket root", at+key, rootBytes)
	m.span("inline bucket", at+key+bucketBytes, max(value-bucketBytes, 0))
}

func (m *mapper) record(at, key, value int) {
	what := "block"
	switch first := m.file[at]; {
	case key == leafKeyBytes && value == digestBytes+crcBytes:
		what = "digest"
	case value == crcBytes:
		what = "series"
	case first >= 'a' && first <= 'z':
		what = "meta"
	}
	body := max(value-crcBytes, 0)
	m.span(what+" key", at, key)
	m.span(what+" value", at+key, body)
	m.span(what+" CRC", at+key+body, value-body)
}
