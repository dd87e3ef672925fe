package raftlog

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// sharedLog is an open log of the shared engine.
type sharedLog struct {
	s      *Shared
	g      *groupLog
	closed atomic.Bool
	bounds
}

func (l *sharedLog) FirstIndex() (uint64, error) {
	if l.closed.Load() {
		return 0, ErrClosed
	}
	l.g.mu.RLock()
	defer l.g.mu.RUnlock()
	return l.g.index.first(), nil
}

func (l *sharedLog) LastIndex() (uint64, error) {
	if l.closed.Load() {
		return 0, ErrClosed
	}
	l.g.mu.RLock()
	defer l.g.mu.RUnlock()
	return l.g.index.last(), nil
}

func (l *sharedLog) NextIndex() uint64 {
	l.g.mu.RLock()
	defer l.g.mu.RUnlock()
	return l.g.nextIndex()
}

// GetLog reads an entry. What it returns may point into memory that other entries share: it is read only.
func (l *sharedLog) GetLog(i uint64, out *raft.Log) error {
	if l.closed.Load() {
		return ErrClosed
	}
	rec, err := l.s.read(l.g, i)
	if err != nil {
		return err
	}
	rec.entry(out)
	return nil
}

func (l *sharedLog) StoreLog(log *raft.Log) error { return l.StoreLogs([]*raft.Log{log}) }

func (l *sharedLog) StoreLogs(logs []*raft.Log) error {
	if len(logs) == 0 {
		return nil
	}
	g := l.g
	g.lock()
	defer g.unlock()
	if l.closed.Load() {
		return ErrClosed
	}
	g.mu.RLock()
	next := g.nextIndex()
	g.mu.RUnlock()
	if err := checkAppend(g.id, next, logs, l.s.maxEntry()); err != nil {
		return err
	}
	return l.s.appendEntries(g, false, logs)
}

// checkAppend refuses what would leave a hole, or does not fit.
func checkAppend(group uint32, next uint64, logs []*raft.Log, maxBytes int) error {
	for k, log := range logs {
		if want := logs[0].Index + uint64(k); log.Index != want || k == 0 && next != 0 && log.Index != next || log.Index == 0 {
			if k == 0 {
				want = next
			}
			return fmt.Errorf("append entry %d to log of group %d, next is %d: %w", log.Index, group, want, ErrGap)
		}
		if n := len(log.Data) + len(log.Extensions); n > maxBytes {
			return fmt.Errorf("append entry %d of %d bytes to log of group %d, %d fit: %w", log.Index, n, group, maxBytes, ErrTooLarge)
		}
	}
	return nil
}

// maxEntry is what an entry may hold so that its batch fits into any segment.
func (s *Shared) maxEntry() int {
	return int(min(MaxEntryBytes, (s.o.SegmentBytes-segmentHeaderSize)/2))
}

// appendEntries writes entries, durably, and then lets readers see them. The writer calls it.
func (s *Shared) appendEntries(g *groupLog, moved bool, logs []*raft.Log) error {
	parts, err := s.committer.submitEntries(g.parts[:0], g.id, g.life, moved, logs)
	if err == nil {
		err = wait(parts)
	}
	if err != nil {
		return fmt.Errorf("append to log of group %d: %w", g.id, err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	k := 0
	for _, p := range parts {
		b := p.batch.bytes()
		at := p.at
		for range p.n {
			size, _ := recordSize(b[at:])
			g.apply(dirEntry{size: size, kind: kindAppend, moved: moved, life: g.life, a: logs[k].Index}, p.batch.seg, uint32(p.batch.off)+uint32(at))
			at += size
			k++
		}
	}
	clear(parts)
	g.parts = parts[:0]
	g.scanned = false
	return nil
}

// appendState writes a truncate or reset record, durably, and applies it. The writer calls it.
func (s *Shared) appendState(g *groupLog, e dirEntry) error {
	e.group = g.id
	parts, err := s.committer.submitState(g.parts[:0], e)
	if err == nil {
		err = wait(parts)
	}
	if err != nil {
		return fmt.Errorf("%s log of group %d: %w", e.kind, g.id, err)
	}
	p := parts[0]
	g.mu.Lock()
	g.apply(e, p.batch.seg, uint32(p.batch.off)+uint32(p.at))
	g.mu.Unlock()
	clear(parts)
	g.parts = parts[:0]
	s.reclaimer.look()
	return nil
}

func (l *sharedLog) DeleteRange(from, to uint64) error {
	g := l.g
	g.lock()
	defer g.unlock()
	if l.closed.Load() {
		return ErrClosed
	}
	g.mu.RLock()
	d := decideDelete(from, to, g.index.first(), g.index.last(), l.snapshotIndex(), l.floorIndex())
	g.mu.RUnlock()
	if d.err != nil {
		return fmt.Errorf("delete %d..%d of log of group %d: %w", from, to, g.id, d.err)
	}
	if d.compaction {
		g.wanted = max(g.wanted, to)
	}
	return l.truncate(d)
}

// truncate carries a decision out. The writer calls it.
func (l *sharedLog) truncate(d deletion) error {
	if d.first == 0 && d.next == 0 {
		return nil
	}
	return l.s.appendState(l.g, dirEntry{kind: kindTruncate, life: l.g.life, a: d.first, b: d.next})
}

func (l *sharedLog) Compact() error {
	g := l.g
	g.lock()
	defer g.unlock()
	if l.closed.Load() {
		return ErrClosed
	}
	if g.wanted == 0 {
		return nil
	}
	g.mu.RLock()
	first, last := g.index.first(), g.index.last()
	g.mu.RUnlock()
	if first == 0 || first > g.wanted {
		return nil
	}
	return l.truncate(decideDelete(first, g.wanted, first, last, max(l.snapshotIndex(), g.wanted), l.floorIndex()))
}

func (l *sharedLog) Reset(next uint64, generation uint32) error {
	g := l.g
	g.lock()
	defer g.unlock()
	if l.closed.Load() {
		return ErrClosed
	}
	if generation < g.generation {
		return fmt.Errorf("reset log of group %d to generation %d from %d: %w", g.id, generation, g.generation, ErrGeneration)
	}
	g.wanted = 0
	return l.s.appendState(g, dirEntry{kind: kindReset, life: g.life + 1, a: uint64(generation), b: next})
}

func (l *sharedLog) Drop(through uint64) error {
	g := l.g
	g.lock()
	defer g.unlock()
	if l.closed.Load() {
		return ErrClosed
	}
	g.mu.RLock()
	first := g.index.first()
	g.mu.RUnlock()
	if first == 0 || through < first {
		return nil
	}
	return l.truncate(deletion{first: through + 1})
}

func (l *sharedLog) Generation() uint32 {
	l.g.mu.RLock()
	defer l.g.mu.RUnlock()
	return l.g.generation
}

func (l *sharedLog) Bytes() int64 {
	l.g.mu.RLock()
	defer l.g.mu.RUnlock()
	return l.g.index.bytes()
}

// Check reads every entry from disk, unless open has just done so. What is bad on disk and good in memory
// is written anew.
func (l *sharedLog) Check() error {
	g := l.g
	g.mu.Lock()
	scanned := g.scanned
	g.scanned = false
	first, last, unknown := g.index.first(), g.index.last(), g.tailUnknown
	bad, seg, off, isBad := g.firstBad()
	g.mu.Unlock()
	if isBad {
		e := &CorruptError{Group: g.id, Index: bad, TailUnknown: unknown, Reason: "record is missing"}
		if seg != nil {
			e.Where, e.Reason = seg.where(int64(off)), "record failed its checksum"
		}
		return e
	}
	if unknown {
		return &CorruptError{Group: g.id, Index: last + 1, TailUnknown: true, Reason: "damage may have taken entries"}
	}
	for i := first; !scanned && i != 0 && i <= last; i++ {
		_, err := l.s.check(g, i)
		if errors.Is(err, raft.ErrLogNotFound) {
			continue // truncated meanwhile
		}
		var corrupt *CorruptError
		if errors.As(err, &corrupt) && l.rewrite(i) == nil {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rewrite writes an entry anew from memory.
func (l *sharedLog) rewrite(i uint64) error {
	g := l.g
	g.lock()
	defer g.unlock()
	if l.closed.Load() {
		return ErrClosed
	}
	return l.s.rewrite(g, i)
}

// rewrite is for who holds the writer's lock.
func (s *Shared) rewrite(g *groupLog, i uint64) error {
	rec, err := s.read(g, i)
	if err != nil {
		return err
	}
	var log raft.Log
	rec.entry(&log)
	return s.appendEntries(g, true, []*raft.Log{&log})
}

// Close lets the group be opened again. The log stays in the engine.
func (l *sharedLog) Close() error {
	if l.closed.Swap(true) {
		return nil
	}
	l.g.lock() // a write under way ends first
	defer l.g.unlock()
	l.g.applied.Store(nil)
	l.g.parts = slices.Clip(l.g.parts[:0])
	l.g.isOpen.Store(false)
	return nil
}
