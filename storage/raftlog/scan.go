package raftlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// scanChunk is what one read of a scan brings.
const scanChunk = 1 << 20

// scanner reads a segment from front to back.
type scanner struct {
	*segment
	buf  []byte
	at   int64 // file offset of buf
	cold bool  // read what the disk has, not what the system remembers, where it can
}

// scanBuffers are those of scans that are made again and again.
var scanBuffers = sync.Pool{New: func() any { b := make([]byte, 0, scanChunk); return &b }}

// turn makes the scanner read another segment.
func (s *scanner) turn(seg *segment) {
	s.segment, s.buf, s.at = seg, s.buf[:0], 0
}

// bytes returns n bytes at off, fewer at the end of the file. They are valid until the next call.
func (s *scanner) bytes(off int64, n int) ([]byte, error) {
	if off >= s.at && off+int64(n) <= s.at+int64(len(s.buf)) {
		return s.buf[off-s.at : off-s.at+int64(n)], nil
	}
	want := int(min(int64(max(n, scanChunk)), max(s.size-off, 0)))
	if cap(s.buf) < want {
		s.buf = make([]byte, want)
	}
	s.buf = s.buf[:want]
	if s.cold {
		dropCached(s.file, off, int64(want))
	}
	got, err := s.file.ReadAt(s.buf, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read log segment %s at %d: %w", segmentName(s.number), off, err)
	}
	s.buf, s.at = s.buf[:got], off
	return s.buf[:min(n, got)], nil
}

// batch returns the batch at off if header and directory are intact; its records are not checked. The
// bytes are valid until the next call.
func (s *scanner) batch(off int64) (b []byte, h batchHeader, ok bool, err error) {
	b, err = s.bytes(off, batchHeaderSize)
	if err != nil {
		return nil, h, false, err
	}
	if h, ok = parseBatchHeader(b, s.size-off); !ok {
		return nil, h, false, nil
	}
	if b, err = s.bytes(off, h.length); err != nil {
		return nil, h, false, err
	}
	if !batchIntact(b, h, s.number, off) {
		return nil, h, false, nil
	}
	if eachRecord(b, h, func(dirEntry, int) error { return nil }) != nil {
		return nil, h, false, nil
	}
	return b, h, true, nil
}

var magicBytes = binary.LittleEndian.AppendUint32(nil, batchMagic)

// nextBatch looks for an intact batch behind a place where there is none.
func (s *scanner) nextBatch(off int64) (int64, bool, error) {
	for off += batchAlign; off+batchHeaderSize <= s.size; {
		if b, err := s.bytes(off, batchHeaderSize); err != nil || len(b) < batchHeaderSize {
			return 0, false, err
		}
		ahead := s.buf[off-s.at:]
		k := bytes.Index(ahead, magicBytes)
		if k < 0 {
			off = max(off+batchAlign, (off+int64(len(ahead))-int64(len(magicBytes)))&^(batchAlign-1))
			continue
		}
		if at := off + int64(k); at%batchAlign == 0 {
			if _, _, ok, err := s.batch(at); ok || err != nil {
				return at, ok, err
			}
		}
		off = (off + int64(k) + batchAlign) &^ (batchAlign - 1)
	}
	return 0, false, nil
}

// salvage reads the records of a batch whose header or directory is damaged: from..to is what lies between
// its start and the next intact batch, or the end of the segment. whole: nothing but header and directory
// was lost, since the records found explain every byte.
func (s *scanner) salvage(from, to int64, yield func(e dirEntry, off int64)) (whole bool, err error) {
	off := from + batchHeaderSize
	var dir []byte
	for off+minRecordSize <= to {
		b, err := s.bytes(off, recordHeaderSize)
		if err != nil {
			return false, err
		}
		size, _ := recordSize(b)
		if size < minRecordSize || off+int64(size) > to {
			break
		}
		if b, err = s.bytes(off, size); err != nil {
			return false, err
		}
		if !recordIntact(b, s.number, off) {
			break
		}
		rec, err := parseRecord(b)
		if err != nil {
			break
		}
		e := dirEntryOf(&rec, size)
		yield(e, off)
		dir = appendDirEntry(dir, e)
		off += int64(size)
	}
	if from+int64(padded(int(off-from)+len(dir))) == to {
		return true, nil
	}
	b, err := s.bytes(off, len(dir))
	return len(dir) > 0 && bytes.Equal(b, dir), err
}
