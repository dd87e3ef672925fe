package raftlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/hashicorp/raft"
)

// The layout of a segment file of the shared engine. Integers are little-endian; "uv" is an unsigned
// varint. Assumption about disks: writing a sector anew with the same bytes in its first part never
// damages that part (power-safe overwrite), since a batch may begin in the sector in which one ended.
//
//	segment = header (4096 B) | batch | batch | ... | what an earlier use of the file left behind
//	header  = magic "flotlog1" 8 | version 4 | 0 4 | segment number 8 | crc 4 | 0 ...
//
//	batch   = one write and one fdatasync, at a multiple of 8
//	+-------+--------+----------+---------+---------+-----------+-----------+-----+=========+===========+---+
//	| magic | length | sequence | durable | records | directory | directory | crc | records | directory | 0 |
//	|   4   |   4    |    8     |    8    |    4    | offset 4  | length 4  |  4  |         |           |   |
//	+-------+--------+----------+---------+---------+-----------+-----------+-----+=========+===========+---+
//	length is that of the whole batch with its padding. sequence rises by one a batch over all segments;
//	durable is the highest sequence known to be on disk when this one was written: an invalid batch at or
//	below it is corruption, not a torn write. crc covers the header before it and the directory.
//
//	record    = crc 4 | length of body 4 | body            crc covers length and body
//	body      = kind 1 | group uv | life uv | rest
//	            moved:    kind is 4, and the kind of what was moved follows in one more byte
//	  append:   flags+type 1 | index uv | term uv | [appended at, unix ns 8] | [length uv, extensions] | data
//	  truncate: first uv | next uv         keeps [first, next) of the log; next 0: no end is cut off
//	  reset:    generation uv | next uv    empties the log and begins its next life; next 0: any index.
//	            moved: the state of a log of this life; entries below next are gone
//	directory = per record: length of the record uv | kind 1 (0x80: moved) | group uv | life uv | a uv | [b uv]
//	            append: a = index; truncate: a = first, b = next; reset: a = generation, b = next
//
// All of a record but its data stands twice, in itself and in the directory, under different CRCs: one
// bad place on disk never hides whose entry it took. Each CRC32C begins with a seed made of the segment
// number and the file offset of what it covers, so that recycled bytes never pass.
//
// Replay order is (group, life, place in the log). A log's writers, the reclaimer included, run one at a
// time, so an entry is moved only while it is live, and its new place is before any later truncation.
const (
	segmentVersion    = 1
	segmentHeaderSize = 4096
	batchHeaderSize   = 40
	recordHeaderSize  = 8
	batchAlign        = 8

	// maxRecordOverhead bounds what a record takes beside data and extensions, its directory entry included.
	maxRecordOverhead = 96
	// MaxEntryBytes bounds data and extensions of one entry (less in a log of small segments).
	MaxEntryBytes = 16 << 20
)

const (
	segmentMagic = "flotlog1"
	batchMagic   = 0x31624c46 // "FLb1"
)

type recordKind uint8

const (
	kindAppend   recordKind = 1
	kindTruncate recordKind = 2
	kindReset    recordKind = 3
	kindMoved    recordKind = 4

	movedBit = 0x80 // in directories
)

func (k recordKind) String() string {
	switch k {
	case kindAppend:
		return "append"
	case kindTruncate:
		return "truncate"
	case kindReset:
		return "reset"
	case kindMoved:
		return "moved"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Flags of an append record, above the three bits of raft's log type.
const (
	typeMask      = 0x0f
	flagTime      = 0x10
	flagExtension = 0x20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seed is the CRC's starting value for bytes at this place. The CRC of the same bytes differs whenever
// the seed differs (CRC is linear and its state update is a bijection).
func seed(segment uint64, offset int64) uint32 {
	x := segment*0x9E3779B97F4A7C15 ^ uint64(offset)*0xD6E8FEB86659FD93
	x ^= x >> 32
	return uint32(x * 0xD6E8FEB86659FD93 >> 32)
}

// record is one decoded record. Ext and Data alias the bytes it was decoded from.
type record struct {
	kind  recordKind // append, truncate or reset
	moved bool
	group uint32
	life  uint32
	a, b  uint64 // append: index, -; truncate: first, next; reset: generation, next
	// of append records only:
	logType    raft.LogType
	term       uint64
	appendedAt int64 // unix ns, 0: none
	ext, data  []byte
}

func appendKind(dst []byte, kind recordKind, moved bool) []byte {
	if moved {
		dst = append(dst, byte(kindMoved))
	}
	return append(dst, byte(kind))
}

// appendEntry appends the record of a log entry; its CRC is filled in by sealRecord.
func appendEntry(dst []byte, group, life uint32, moved bool, l *raft.Log) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	dst = appendKind(dst, kindAppend, moved)
	dst = binary.AppendUvarint(dst, uint64(group))
	dst = binary.AppendUvarint(dst, uint64(life))
	flags := byte(l.Type) & typeMask
	if !l.AppendedAt.IsZero() {
		flags |= flagTime
	}
	if len(l.Extensions) > 0 {
		flags |= flagExtension
	}
	dst = append(dst, flags)
	dst = binary.AppendUvarint(dst, l.Index)
	dst = binary.AppendUvarint(dst, l.Term)
	if flags&flagTime != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(l.AppendedAt.UnixNano()))
	}
	if flags&flagExtension != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(l.Extensions)))
		dst = append(dst, l.Extensions...)
	}
	dst = append(dst, l.Data...)
	binary.LittleEndian.PutUint32(dst[start+4:], uint32(len(dst)-start-recordHeaderSize))
	return dst
}

// appendState appends a truncate or reset record.
func appendState(dst []byte, kind recordKind, moved bool, group, life uint32, a, b uint64) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0, 0, 0)
	dst = appendKind(dst, kind, moved)
	dst = binary.AppendUvarint(dst, uint64(group))
	dst = binary.AppendUvarint(dst, uint64(life))
	dst = binary.AppendUvarint(dst, a)
	dst = binary.AppendUvarint(dst, b)
	binary.LittleEndian.PutUint32(dst[start+4:], uint32(len(dst)-start-recordHeaderSize))
	return dst
}

// sealRecord writes the CRC of the record that starts b, at its place in the file.
func sealRecord(b []byte, segment uint64, offset int64) {
	crc := crc32.Update(seed(segment, offset), castagnoli, b[4:])
	binary.LittleEndian.PutUint32(b, crc)
}

// recordSize is the size of the record that starts b, false if b is too short for it.
func recordSize(b []byte) (int, bool) {
	if len(b) < recordHeaderSize {
		return 0, false
	}
	n := int64(binary.LittleEndian.Uint32(b[4:])) + recordHeaderSize
	return int(n), n <= int64(len(b))
}

// recordIntact says whether b, exactly one record, passes its CRC at this place.
func recordIntact(b []byte, segment uint64, offset int64) bool {
	n, ok := recordSize(b)
	return ok && n == len(b) &&
		crc32.Update(seed(segment, offset), castagnoli, b[4:]) == binary.LittleEndian.Uint32(b)
}

// reader decodes varints; bad stays set after the first failure.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) uint32() uint32 {
	v := r.uvarint()
	if v > 1<<32-1 {
		r.bad = true
	}
	return uint32(v)
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	v := r.b[0]
	r.b = r.b[1:]
	return v
}

func (r *reader) take(n uint64) []byte {
	if uint64(len(r.b)) < n {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// parseRecord decodes b, exactly one record whose CRC the caller has checked.
func parseRecord(b []byte) (record, error) {
	if n, ok := recordSize(b); !ok || n != len(b) {
		return record{}, fmt.Errorf("%w: record length", ErrFormat)
	}
	r := reader{b: b[recordHeaderSize:]}
	var rec record
	rec.kind = recordKind(r.byte())
	if rec.kind == kindMoved {
		rec.moved = true
		rec.kind = recordKind(r.byte())
	}
	rec.group = r.uint32()
	rec.life = r.uint32()
	switch rec.kind {
	case kindAppend:
		flags := r.byte()
		rec.logType = raft.LogType(flags & typeMask)
		rec.a = r.uvarint()
		rec.term = r.uvarint()
		if flags&flagTime != 0 {
			if t := r.take(8); t != nil {
				rec.appendedAt = int64(binary.LittleEndian.Uint64(t))
			}
		}
		if flags&flagExtension != 0 {
			rec.ext = r.take(r.uvarint())
		}
		if len(r.b) > 0 {
			rec.data = r.b[:len(r.b):len(r.b)]
		}
	case kindTruncate, kindReset:
		rec.a, rec.b = r.uvarint(), r.uvarint()
	default:
		return record{}, fmt.Errorf("%w: record %s", ErrFormat, rec.kind)
	}
	if r.bad {
		return record{}, fmt.Errorf("%w: record is cut short", ErrFormat)
	}
	return rec, nil
}

// entry fills in what raft asked for.
func (rec *record) entry(l *raft.Log) {
	*l = raft.Log{Index: rec.a, Term: rec.term, Type: rec.logType, Data: rec.data, Extensions: rec.ext}
	if rec.appendedAt != 0 {
		l.AppendedAt = time.Unix(0, rec.appendedAt)
	}
}
