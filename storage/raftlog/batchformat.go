package raftlog

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// dirEntry is a directory's copy of a record: enough to say whose it was, and to redo all but an append.
type dirEntry struct {
	size  int // of the record
	kind  recordKind
	moved bool
	group uint32
	life  uint32
	a, b  uint64
}

func appendDirEntry(dst []byte, e dirEntry) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.size))
	kind := byte(e.kind)
	if e.moved {
		kind |= movedBit
	}
	dst = append(dst, kind)
	dst = binary.AppendUvarint(dst, uint64(e.group))
	dst = binary.AppendUvarint(dst, uint64(e.life))
	dst = binary.AppendUvarint(dst, e.a)
	if e.kind != kindAppend {
		dst = binary.AppendUvarint(dst, e.b)
	}
	return dst
}

func (r *reader) dirEntry() dirEntry {
	var e dirEntry
	e.size = int(r.uint32())
	kind := r.byte()
	e.kind, e.moved = recordKind(kind&^movedBit), kind&movedBit != 0
	e.group, e.life = r.uint32(), r.uint32()
	e.a = r.uvarint()
	switch e.kind {
	case kindAppend:
	case kindTruncate, kindReset:
		e.b = r.uvarint()
	default:
		r.bad = true
	}
	return e
}

// dirEntryOf is what the directory says about a record.
func dirEntryOf(rec *record, size int) dirEntry {
	return dirEntry{size: size, kind: rec.kind, moved: rec.moved, group: rec.group, life: rec.life, a: rec.a, b: rec.b}
}

// batchHeader is the header of a batch.
type batchHeader struct {
	length    int // whole, padding included
	sequence  uint64
	durable   uint64
	records   int
	dirOffset int
	dirLength int
}

func padded(n int) int { return (n + batchAlign - 1) &^ (batchAlign - 1) }

// sealBatch writes header and CRCs of a complete batch, b, at its place in the file.
func sealBatch(b []byte, h batchHeader, segment uint64, offset int64) {
	for at := batchHeaderSize; at < h.dirOffset; {
		n := int(binary.LittleEndian.Uint32(b[at+4:])) + recordHeaderSize
		sealRecord(b[at:at+n], segment, offset+int64(at))
		at += n
	}
	le := binary.LittleEndian
	le.PutUint32(b, batchMagic)
	le.PutUint32(b[4:], uint32(h.length))
	le.PutUint64(b[8:], h.sequence)
	le.PutUint64(b[16:], h.durable)
	le.PutUint32(b[24:], uint32(h.records))
	le.PutUint32(b[28:], uint32(h.dirOffset))
	le.PutUint32(b[32:], uint32(h.dirLength))
	le.PutUint32(b[36:], batchCRC(b, h, segment, offset))
}

func batchCRC(b []byte, h batchHeader, segment uint64, offset int64) uint32 {
	crc := crc32.Update(seed(segment, offset), castagnoli, b[:36])
	return crc32.Update(crc, castagnoli, b[h.dirOffset:h.dirOffset+h.dirLength])
}

// parseBatchHeader decodes the header that starts b, which need not hold the whole batch. It only says
// that the lengths are possible within room bytes.
func parseBatchHeader(b []byte, room int64) (batchHeader, bool) {
	le := binary.LittleEndian
	if len(b) < batchHeaderSize || le.Uint32(b) != batchMagic {
		return batchHeader{}, false
	}
	length, dirOffset, dirLength := int64(le.Uint32(b[4:])), int64(le.Uint32(b[28:])), int64(le.Uint32(b[32:]))
	h := batchHeader{
		length: int(length), sequence: le.Uint64(b[8:]), durable: le.Uint64(b[16:]),
		records: int(le.Uint32(b[24:])), dirOffset: int(dirOffset), dirLength: int(dirLength),
	}
	ok := length <= room && dirOffset >= batchHeaderSize && length == int64(padded(int(dirOffset+dirLength))) &&
		int64(h.records)*minRecordSize <= dirOffset
	return h, ok
}

// minRecordSize is the size of the smallest record: header, kind, group, life and two numbers.
const minRecordSize = recordHeaderSize + 5

// batchIntact says whether header and directory of b, a whole batch, pass their CRC at this place.
func batchIntact(b []byte, h batchHeader, segment uint64, offset int64) bool {
	return len(b) == h.length && batchCRC(b, h, segment, offset) == binary.LittleEndian.Uint32(b[36:])
}

// eachRecord walks the directory of an intact batch: yield gets each entry and the record's place in b.
func eachRecord(b []byte, h batchHeader, yield func(e dirEntry, at int) error) error {
	r := reader{b: b[h.dirOffset : h.dirOffset+h.dirLength]}
	at := batchHeaderSize
	for range h.records {
		e := r.dirEntry()
		if r.bad || e.size < minRecordSize || at+e.size > h.dirOffset {
			return fmt.Errorf("%w: batch directory", ErrFormat)
		}
		if err := yield(e, at); err != nil {
			return err
		}
		at += e.size
	}
	if at != h.dirOffset || len(r.b) != 0 {
		return fmt.Errorf("%w: batch directory does not cover its records", ErrFormat)
	}
	return nil
}

func appendSegmentHeader(number uint64) []byte {
	b := make([]byte, segmentHeaderSize)
	copy(b, segmentMagic)
	binary.LittleEndian.PutUint32(b[8:], segmentVersion)
	binary.LittleEndian.PutUint64(b[16:], number)
	binary.LittleEndian.PutUint32(b[24:], crc32.Checksum(b[:24], castagnoli))
	return b
}

// parseSegmentHeader returns the segment's number. A header that is intact but of another version is
// ErrFormat with a word on it; anything else is not a header (false).
func parseSegmentHeader(b []byte) (number uint64, ok bool, err error) {
	if len(b) < 28 || string(b[:8]) != segmentMagic ||
		crc32.Checksum(b[:24], castagnoli) != binary.LittleEndian.Uint32(b[24:]) {
		return 0, false, nil
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != segmentVersion {
		return 0, false, fmt.Errorf("%w: segment version %d, this binary knows %d", ErrFormat, v, segmentVersion)
	}
	return binary.LittleEndian.Uint64(b[16:]), true, nil
}
