package raftlog

import (
	"context"
	"errors"
	"fmt"
)

// BadRecord is what a scrub found.
type BadRecord struct {
	// Group and Index are those of an entry; Index 0: no entry was hit (a header, a
	// directory, a page), and Group then only where one group alone is concerned.
	Group uint32
	Index uint64
	Where string // file and offset, for the operator
	// Reason is one line.
	Reason string
	// Harmless: nobody needs what was damaged, as an entry that is trimmed already.
	Harmless bool
	// Mended: what was damaged is written anew, from memory or from what is intact.
	// Where neither is true OnCorrupt was called, and the owner of the group acts.
	Mended bool
}

// A scrub of the shared log walks the batches of each segment, as a start would, up to what is durable. It holds
// no lock but for looks at the index, so that appends go on beside it; what seems bad is looked at again, since the
// segment may have been freed meanwhile.
//
//	a segment's header        -> written anew: it tells no more than the file's name
//	a record, dead            -> harmless
//	a record, live            -> copied forward from memory, or else told to OnCorrupt
//	a batch's header or       -> the live entries in it as above; the segment is condemned: what is live in it
//	directory                    and before it is copied forward, and it is freed. A start in between salvages it.

// cursorFormat is a cursor of the shared log: segment number and offset.
const cursorFormat = "%016x:%x"

// Scrub implements Engine.
func (s *Shared) Scrub(ctx context.Context, cursor string, maxBytes int64) (next string, bytes int64, bad []BadRecord, err error) {
	return s.scrub(ctx, cursor, maxBytes, false)
}

// ScrubFrames implements Engine.
func (s *Shared) ScrubFrames(ctx context.Context, cursor string, maxBytes int64) (next string, bytes int64, bad []BadRecord, err error) {
	return s.scrub(ctx, cursor, maxBytes, true)
}

func (s *Shared) scrub(ctx context.Context, cursor string, maxBytes int64, frames bool) (next string, bytes int64, bad []BadRecord, err error) {
	var number uint64
	var off int64
	if cursor != "" {
		if n, _ := fmt.Sscanf(cursor, cursorFormat, &number, &off); n != 2 {
			number, off = 0, 0
		}
	}
	lent := scanBuffers.Get().(*[]byte)
	w := scrubber{s: s, scan: scanner{cold: true, buf: *lent}, frames: frames}
	defer func() {
		*lent = w.scan.buf
		scanBuffers.Put(lent)
	}()
	for {
		seg := s.segments.from(number)
		if seg == nil {
			return "", w.bytes, w.bad, nil
		}
		if seg.number != number {
			number, off = seg.number, 0
		}
		off, err = w.segment(ctx, seg, off, maxBytes)
		switch {
		case err == nil:
		case !s.segments.holds(seg): // freed meanwhile
			off = -1
		default:
			return cursor, w.bytes, w.bad, fmt.Errorf("scrub log: %w", err)
		}
		if off >= 0 {
			return fmt.Sprintf(cursorFormat, number, off), w.bytes, w.bad, nil
		}
		number, off = number+1, 0
		cursor = fmt.Sprintf(cursorFormat, number, off)
	}
}

// scrubber is one call of Scrub.
type scrubber struct {
	s      *Shared
	scan   scanner
	frames bool // records are left to their groups, where the batch around them is intact
	bytes  int64
	bad    []BadRecord
}

// segment checks from off on; it returns where to go on, -1 behind the end.
func (w *scrubber) segment(ctx context.Context, seg *segment, off, maxBytes int64) (int64, error) {
	if off < segmentHeaderSize {
		if err := w.header(seg); err != nil {
			return off, err
		}
		off = segmentHeaderSize
	}
	for end := int64(0); off < seg.end.Load(); {
		if off >= end { // what was read before holds nothing of what has come since
			end = seg.end.Load()
			w.scan.turn(seg)
		}
		if err := ctx.Err(); err != nil {
			return off, err
		}
		if w.bytes >= maxBytes {
			return off, nil
		}
		b, h, ok, err := w.scan.batch(off)
		if err != nil {
			return off, err
		}
		next := off + int64(h.length)
		if ok {
			if !w.frames {
				w.batch(seg, off, b, h)
			}
		} else if next, err = w.gap(seg, off, end); err != nil {
			return off, err
		}
		w.bytes += next - off
		off = next
	}
	return -1, nil
}

// header checks a segment's header, and writes it anew.
func (w *scrubber) header(seg *segment) error {
	b := make([]byte, segmentHeaderSize)
	dropCached(seg.file, 0, segmentHeaderSize)
	if _, err := seg.file.ReadAt(b, 0); err != nil {
		return err
	}
	w.bytes += segmentHeaderSize
	if number, ok, _ := parseSegmentHeader(b); ok && number == seg.number {
		return nil
	}
	err := seg.writeHeader()
	w.found(seg, BadRecord{Where: seg.where(0), Reason: "header of the segment failed its checksum", Mended: err == nil})
	return nil
}

// found keeps what was found, if the segment is one of the log still.
func (w *scrubber) found(seg *segment, bad BadRecord) {
	if w.s.segments.holds(seg) {
		w.bad = append(w.bad, bad)
	}
}

// batch checks the records of a batch whose directory is intact.
func (w *scrubber) batch(seg *segment, off int64, b []byte, h batchHeader) {
	_ = eachRecord(b, h, func(e dirEntry, at int) error { // it has been walked before
		if recordIntact(b[at:at+e.size], seg.number, off+int64(at)) {
			return nil
		}
		if e.kind != kindAppend {
			w.found(seg, BadRecord{Group: e.group, Where: seg.where(off + int64(at)), Harmless: true,
				Reason: e.kind.String() + " record failed its checksum; the directory of its batch says the same"})
			return nil
		}
		w.entry(seg, uint32(off)+uint32(at), e.group, e.a)
		return nil
	})
}

// gap deals with a stretch whose header or directory is damaged, and returns where the next batch begins.
func (w *scrubber) gap(seg *segment, off, end int64) (int64, error) {
	next, found, err := w.scan.nextBatch(off)
	if err != nil {
		return off, err
	}
	if !found || next > end {
		next = end
	}
	before := len(w.bad)
	for _, g := range w.s.allGroups() {
		for _, l := range g.livesIn(seg, off, next) {
			if _, err := readRecord(seg, int64(l.off)); err != nil {
				w.entry(seg, l.off, g.id, l.index)
			}
		}
	}
	mended := true
	for _, b := range w.bad[before:] {
		mended = mended && (b.Mended || b.Harmless)
	}
	w.found(seg, BadRecord{Where: seg.where(off), Mended: mended, Reason: "header or directory of a batch failed its checksum"})
	w.s.condemn(seg)
	return next, nil
}

// entry deals with a record of an entry that failed its checksum.
func (w *scrubber) entry(seg *segment, off uint32, group uint32, index uint64) {
	bad := BadRecord{Group: group, Index: index, Where: seg.where(int64(off)), Reason: errChecksum.Error()}
	g := w.s.group(group)
	if g == nil || !g.isAt(index, seg, off) {
		bad.Harmless = true // truncated, trimmed or copied forward
	} else if rec, err := readRecord(seg, int64(off)); err == nil && rec.group == group && rec.a == index {
		return // it was our read
	} else {
		bad.Mended = w.s.mend(g, index, seg, off)
	}
	w.found(seg, bad)
}

// mend copies an entry forward from memory. Where memory does not have it, OnCorrupt is told, and the next Check
// of the log says it.
func (s *Shared) mend(g *groupLog, i uint64, seg *segment, off uint32) bool {
	g.mu.Lock()
	g.noteBad(i, seg, off)
	g.mu.Unlock()
	g.lock()
	defer g.unlock()
	if !g.isAt(i, seg, off) {
		return true
	}
	err := s.rewrite(g, i)
	if err != nil && !errors.As(err, new(*CorruptError)) {
		s.o.Logger.Warn("damaged log entry is not written anew now", "group", g.id, "index", i, "error", err)
	}
	return err == nil
}

// condemn has a segment freed, and all before it. One that is written to is left first.
func (s *Shared) condemn(seg *segment) {
	if seg.condemned.Swap(true) {
		s.reclaimer.look()
		return
	}
	s.o.Logger.Error("log segment is damaged: what is live in it is copied forward", "segment", segmentName(seg.number))
	for _, g := range s.allGroups() {
		if s.segments.current() != seg {
			break
		}
		if err := s.restate(g); err != nil {
			s.o.Logger.Warn("damaged log segment is not left now", "error", err)
			break
		}
	}
	s.reclaimer.look()
}

// restate writes a record that changes nothing.
func (s *Shared) restate(g *groupLog) error {
	g.lock()
	defer g.unlock()
	g.mu.RLock()
	e := dirEntry{kind: kindTruncate, life: g.life, a: g.index.first()}
	g.mu.RUnlock()
	return s.appendState(g, e)
}

// isAt says whether the live record of an entry is at this place.
func (g *groupLog) isAt(i uint64, seg *segment, off uint32) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	at, place, live := g.index.lookup(i)
	return live && at == seg && place == off
}

type livePlace struct {
	index uint64
	off   uint32
}

// livesIn lists the live entries whose records begin in a stretch of a segment.
func (g *groupLog) livesIn(seg *segment, from, to int64) []livePlace {
	g.mu.RLock()
	defer g.mu.RUnlock()
	var list []livePlace
	for k := range g.index.runs {
		r := &g.index.runs[k]
		for n, off := range r.offs {
			if r.seg == seg && int64(off) >= from && int64(off) < to {
				list = append(list, livePlace{r.first + uint64(n), off})
			}
		}
	}
	return list
}
