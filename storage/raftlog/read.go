package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"
)

const (
	// readAhead is what one read of an old entry brings from disk: most records fit.
	readAhead = 16 << 10
	// checkAhead is that of a check of one: those of a group lie between those of all others, and what is read is not kept.
	checkAhead = 1 << 10
)

var readBuffers = sync.Pool{New: func() any { b := make([]byte, readAhead); return &b }}

// read returns entry i: from the recent end of the log in memory, from what is pinned, or from disk, where
// its CRC is checked. Errors: raft.ErrLogNotFound, *CorruptError.
func (s *Shared) read(g *groupLog, i uint64) (rec record, err error) {
	err = s.readAt(g, i, func(seg *segment, off uint32, pin []byte) (record, error) {
		b := s.window.find(seg.number, int64(off))
		if b == nil {
			b = pin
		}
		if n, whole := recordSize(b); whole {
			rec, err = parseRecord(b[:n])
		} else {
			rec, err = readRecord(seg, int64(off))
		}
		return rec, err
	}, s.o.OnCorrupt)
	if err != nil {
		return record{}, err
	}
	return rec, nil
}

// check reads entry i back from disk, and gives what it takes there. Errors as read.
func (s *Shared) check(g *groupLog, i uint64) (size int, err error) {
	err = s.readAt(g, i, func(seg *segment, off uint32, _ []byte) (head record, err error) {
		err = withRecord(seg, int64(off), checkAhead, func(rec record, _ bool) { head, size = rec, len(rec.data)+len(rec.ext) })
		return head, err
	}, nil)
	return size, err
}

// readAt has entry i read where the index says that it is, and sees that it is the one; told, if not nil, is told of one that cannot be.
func (s *Shared) readAt(g *groupLog, i uint64, read func(seg *segment, off uint32, pin []byte) (record, error), told func(*CorruptError)) error {
	seg, off, ok, pin := g.place(i)
	for {
		if !ok {
			return g.missing(i)
		}
		rec, err := read(seg, off, pin)
		if err == nil && (rec.kind != kindAppend || rec.group != g.id || rec.a != i) {
			err = errors.New("another record is in its place")
		}
		if err == nil {
			return nil
		}
		// The entry may have been moved or deleted, and the file recycled, since we looked.
		oldSeg, oldOff := seg, off
		if seg, off, ok, pin = g.place(i); ok && seg == oldSeg && off == oldOff {
			corrupt := &CorruptError{Group: g.id, Index: i, Where: seg.where(int64(off)), Reason: err.Error()}
			if told != nil {
				told(corrupt)
			}
			return corrupt
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
func readRecord(seg *segment, off int64) (out record, err error) {
	err = withRecord(seg, off, readAhead, func(rec record, lent bool) {
		if out = rec; lent {
			out.data, out.ext = bytes.Clone(rec.data), bytes.Clone(rec.ext)
		}
	})
	return out, err
}

// withRecord reads and checks the record at off, at first with so many bytes, readAhead at most. Where it is lent it is valid
// until use returns.
func withRecord(seg *segment, off int64, ahead int, use func(rec record, lent bool)) error {
	pooled := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(pooled)
	b := (*pooled)[:ahead]
	n, err := seg.file.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read: %w", err)
	}
	b = b[:n]
	size, whole := recordSize(b)
	lent := true
	if !whole {
		if size < minRecordSize || off+int64(size) > seg.size {
			return errChecksum
		}
		if size <= readAhead {
			b = (*pooled)[:size]
		} else {
			b, lent = make([]byte, size), false
		}
		if _, err := seg.file.ReadAt(b, off); err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	b = b[:size]
	if !recordIntact(b, seg.number, off) {
		return errChecksum
	}
	rec, err := parseRecord(b)
	if err == nil {
		use(rec, lent)
	}
	return err
}

var errChecksum = errors.New("record failed its checksum")
