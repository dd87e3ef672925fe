package raftlog

import (
	"fmt"
	"slices"
)

// replayed is the log as it was found.
type replayed struct {
	groups    map[uint32]*groupLog
	list      []*segment // oldest first; the last one is to be written to
	spares    []string
	tail      int64  // where the next batch goes in the last segment
	sequence  uint64 // of the last batch
	confirmed bool   // the last batch is an empty one
	lostAll   bool   // damage may have taken groups of which nothing else is known
}

// replayer reads all segments in order and rebuilds the index.
//
//	at each place, an intact batch (header and directory) whose sequence is the next:
//	    all records good     -> applied
//	    some record bad      -> kept back; applied, with the bad entries noted, when a later batch is met
//	else look for the next intact batch, in this segment and in later ones:
//	    none                 -> the log ends here: a torn write, or nothing (a kept-back batch is torn too)
//	    its sequence is next -> only the end of a segment
//	    its sequence is later-> corruption: what lies between is salvaged
//
// One batch is in flight at a time, so a batch on disk proves that all before it were durable. When a
// batch's header or directory is bad, its records are read one by one; if they explain every byte,
// nothing is lost. If not, no group can be sure that it lost nothing, and each that existed is marked
// (tailUnknown) until it is reset. Limit: rot in the very last batch looks like a torn write; the empty
// batch written after 100 ms of idleness and at shutdown is there to be that last batch.
type replayer struct {
	o SharedOptions
	replayed

	scan    scanner
	salvage scanner // apart: the batch in hand lies in scan's memory

	held   *heldBatch // the last batch, some record of which is bad
	gap    []region   // stretches without an intact batch since the last one
	anchor *segment   // of the last intact batch
}

type heldBatch struct {
	seg    *segment
	off    int64
	bytes  []byte
	header batchHeader
}

type region struct {
	seg      *segment
	from, to int64
}

// replay reads the log. It changes nothing but the header of a torn batch, and the names of files without any.
func replay(files Files, o SharedOptions) (*replayed, error) {
	r := &replayer{o: o, replayed: replayed{groups: make(map[uint32]*groupLog), confirmed: true}}
	segs, err := r.openAll(files)
	if err != nil {
		closeAll(segs)
		return nil, err
	}
	for _, seg := range segs {
		if err := r.segment(seg); err != nil {
			closeAll(segs)
			return nil, err
		}
	}
	if err := r.end(files, segs); err != nil {
		closeAll(segs)
		return nil, err
	}
	for _, g := range r.groups {
		g.scanned = true
	}
	return &r.replayed, nil
}

func closeAll(segs []*segment) {
	for _, s := range segs {
		s.file.Close()
	}
}

// openAll opens the segments in order and collects the spares.
func (r *replayer) openAll(files Files) ([]*segment, error) {
	names, err := files.Names()
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var segs []*segment
	for _, name := range names {
		number, spare, ok := parseSegmentName(name)
		if !ok {
			continue
		}
		f, size, err := files.Open(name, 0)
		if err != nil {
			return segs, fmt.Errorf("open %s: %w", name, err)
		}
		if spare {
			f.Close()
			if size == r.o.SegmentBytes && len(r.spares) < maxSpares {
				r.spares = append(r.spares, name)
			} else if err := files.Remove(name); err != nil {
				return segs, err
			}
			continue
		}
		segs = append(segs, &segment{number: number, file: f, size: size})
		header := make([]byte, segmentHeaderSize)
		n, _ := f.ReadAt(header, 0)
		if _, _, err := parseSegmentHeader(header[:n]); err != nil {
			return segs, fmt.Errorf("open %s: %w", name, err)
		}
	}
	return segs, nil
}

// segment replays one segment. Its header only tells the version: the CRCs of batches vouch for the number.
func (r *replayer) segment(seg *segment) error {
	s := &r.scan
	s.turn(seg)
	for off := int64(segmentHeaderSize); ; {
		b, h, ok, err := s.batch(off)
		if err != nil {
			return err
		}
		if ok && r.anchor != nil && h.sequence <= r.sequence {
			ok = false
		}
		if ok {
			if err := r.batch(seg, off, b, h); err != nil {
				return err
			}
			off += int64(h.length)
			continue
		}
		next, found, err := s.nextBatch(off)
		if err != nil {
			return err
		}
		if !found {
			r.gap = append(r.gap, region{seg, off, seg.size})
			return nil
		}
		r.gap = append(r.gap, region{seg, off, next})
		off = next
	}
}

// batch takes an intact batch.
func (r *replayer) batch(seg *segment, off int64, b []byte, h batchHeader) error {
	if err := r.settle(h.sequence); err != nil {
		return err
	}
	r.anchor, r.sequence, r.confirmed = seg, h.sequence, h.records == 0
	r.list = appendSegment(r.list, seg)
	r.tail = off + int64(h.length)
	seg.end.Store(r.tail)
	good := true
	// The directory has been walked before: no error.
	_ = eachRecord(b, h, func(e dirEntry, at int) error {
		good = good && recordIntact(b[at:at+e.size], seg.number, off+int64(at))
		return nil
	})
	if !good {
		r.held = &heldBatch{seg, off, slices.Clone(b), h}
		return nil
	}
	return eachRecord(b, h, func(e dirEntry, at int) error {
		r.apply(e, seg, off+int64(at))
		return nil
	})
}

func appendSegment(list []*segment, seg *segment) []*segment {
	if n := len(list); n > 0 && list[n-1] == seg {
		return list
	}
	return append(list, seg)
}

func (r *replayer) apply(e dirEntry, seg *segment, off int64) {
	g := r.groups[e.group]
	if g == nil {
		g = newGroupLog(e.group)
		r.groups[e.group] = g
	}
	seg.total.Add(1)
	g.apply(e, seg, uint32(off))
}

// settle decides about what came before an intact batch, now that the batch proves that it was durable.
func (r *replayer) settle(sequence uint64) error {
	if h := r.held; h != nil {
		r.held = nil
		r.applyHeld(h)
	}
	gap := r.gap
	r.gap = nil
	if r.anchor == nil && len(gap) == 0 || r.anchor != nil && sequence == r.sequence+1 {
		return nil // the first batch, or the next one, in this segment or in the next
	}
	whole := len(gap) == 1 && (r.anchor == nil || sequence == r.sequence+2)
	for _, reg := range gap {
		r.list = appendSegment(r.list, reg.seg)
		reg.seg.end.Store(max(reg.seg.end.Load(), reg.to))
		r.salvage.turn(reg.seg)
		all, err := r.salvage.salvage(reg.from, reg.to, func(e dirEntry, off int64) { r.apply(e, reg.seg, off) })
		if err != nil {
			return err
		}
		whole = whole && all
	}
	r.o.Logger.Error("log is damaged", "after_batch", r.sequence, "before_batch", sequence, "recovered", whole)
	if whole {
		return nil
	}
	r.lostAll = true
	for _, g := range r.groups {
		g.tailUnknown = true
	}
	return nil
}

// applyHeld applies a batch with bad records. The directory tells whose they are and what a truncation or
// reset said, so that only entries are lost, and it is known which.
func (r *replayer) applyHeld(h *heldBatch) {
	_ = eachRecord(h.bytes, h.header, func(e dirEntry, at int) error {
		off := h.off + int64(at)
		r.apply(e, h.seg, off)
		if e.kind == kindAppend && !recordIntact(h.bytes[at:at+e.size], h.seg.number, off) {
			r.groups[e.group].noteBad(e.a, h.seg, uint32(off))
			r.o.Logger.Error("log entry is damaged", "group", e.group, "index", e.a, "where", h.seg.where(off))
		}
		return nil
	})
}

// end decides where to write on: behind the last intact batch, over a torn one. Segments without a batch
// become spares. What was found is made durable before anyone acts on it: the crash may have been one of
// the process alone, with the last write still only in the page cache.
func (r *replayer) end(files Files, segs []*segment) error {
	if h := r.held; h != nil {
		r.tail, r.sequence, r.confirmed = h.off, h.header.sequence-1, false
		h.seg.end.Store(h.off)
		// The next batch may not fit here and go to the next segment: this one must not look damaged then.
		if err := writeFull(h.seg.file, make([]byte, batchHeaderSize), h.off); err != nil {
			return fmt.Errorf("erase torn write in log %s: %w", h.seg.where(h.off), err)
		}
	}
	for _, seg := range segs {
		if slices.Contains(r.list, seg) {
			continue
		}
		name := segmentName(seg.number)
		if err := seg.file.Close(); err != nil {
			return err
		}
		if err := r.release(files, name, seg); err != nil {
			return fmt.Errorf("release unused %s: %w", name, err)
		}
	}
	if len(r.list) == 0 {
		number := uint64(1)
		if n := len(segs); n > 0 {
			number = segs[n-1].number + 1
		}
		spare := ""
		if n := len(r.spares); n > 0 {
			spare, r.spares = r.spares[n-1], r.spares[:n-1]
		}
		seg, err := createSegment(files, number, r.o.SegmentBytes, spare)
		if err != nil {
			return err
		}
		r.list, r.tail = []*segment{seg}, segmentHeaderSize
	}
	last := r.list[len(r.list)-1]
	if err := last.file.Sync(); err != nil {
		return fmt.Errorf("sync log %s: %w", last.where(r.tail), err)
	}
	return nil
}

// release makes an unused segment a spare, or removes it. Its number will be used again, so there may be a
// spare of that name from an earlier start.
func (r *replayer) release(files Files, name string, seg *segment) error {
	spare := spareName(seg.number)
	if seg.size != r.o.SegmentBytes || len(r.spares) >= maxSpares || slices.Contains(r.spares, spare) {
		return files.Remove(name)
	}
	r.spares = append(r.spares, spare)
	return files.Rename(name, spare)
}
