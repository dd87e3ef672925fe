package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

// readAhead is what one read of an old entry brings from disk: most records fit.
const readAhead = 16 << 10

var readBuffers = sync.Pool{New: func() any { b := make([]byte, readAhead); return &b }}

// read returns entry i: from the recent end of the log in memory, from what is pinned, or from disk, where
// its CRC is checked. fromDisk: only from there. Errors: raft.ErrLogNotFound, *CorruptError.
func (s *Shared) read(g *groupLog, i uint64, fromDisk bool) (record, error) {
	seg, off, ok, pin := g.place(i)
	for {
		if !ok {
			return record{}, g.missing(i)
		}
		if !fromDisk {
			b := s.window.find(seg.number, int64(off))
			if b == nil {
				b = pin
			}
			if n, whole := recordSize(b); whole {
				return parseRecord(b[:n])
			}
		}
		rec, err := readRecord(seg, int64(off))
		if err == nil && (rec.kind != kindAppend || rec.group != g.id || rec.a != i) {
			err = errors.New("another record is in its place")
		}
		if err == nil {
			return rec, nil
		}
		// The entry may have been moved or deleted, and the file recycled, since we looked.
		oldSeg, oldOff := seg, off
		if seg, off, ok, pin = g.place(i); ok && seg == oldSeg && off == oldOff {
			corrupt := &CorruptError{Group: g.id, Index: i, Where: seg.where(int64(off)), Reason: err.Error()}
			if s.o.OnCorrupt != nil && !fromDisk {
				s.o.OnCorrupt(corrupt)
			}
			return record{}, corrupt
		}
	}
}

// place says where entry i is, and the copy of it that is pinned in memory, if any.
func (g *groupLog) place(i uint64) (*segment, uint32, bool, []byte) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	seg, off, ok := g.index.lookup(i)
	if p, held := g.pinned[i]; held && p.seg == seg && p.off == off {
		return seg, off, ok, p.record
	}
	return seg, off, ok, nil
}

// missing is the error for an entry that the index does not have.
func (g *groupLog) missing(i uint64) error {
	g.mu.RLock()
	defer g.mu.RUnlock()
	if i > g.index.first() && i < g.index.last() {
		return &CorruptError{Group: g.id, Index: i, Reason: "record is missing"}
	}
	return raft.ErrLogNotFound
}

// readRecord reads and checks the record at off. What it returns is the caller's own.
func readRecord(seg *segment, off int64) (record, error) {
	pooled := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(pooled)
	buf := *pooled
	n, err := seg.file.ReadAt(buf, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return record{}, fmt.Errorf("read: %w", err)
	}
	b := buf[:n]
	size, whole := recordSize(b)
	own := false
	if !whole {
		if size < minRecordSize || off+int64(size) > seg.size {
			return record{}, errChecksum
		}
		b, own = make([]byte, size), true
		if _, err := seg.file.ReadAt(b, off); err != nil {
			return record{}, fmt.Errorf("read: %w", err)
		}
	}
	b = b[:size]
	if !recordIntact(b, seg.number, off) {
		return record{}, errChecksum
	}
	rec, err := parseRecord(b)
	if !own {
		rec.data, rec.ext = bytes.Clone(rec.data), bytes.Clone(rec.ext)
	}
	return rec, err
}

var errChecksum = errors.New("record failed its checksum")
