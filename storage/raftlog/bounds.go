package raftlog

import "sync/atomic"

// bounds are what the owner of a log tells it about its group: read at each deletion, so functions.
type bounds struct {
	floor, snapshot atomic.Pointer[func() uint64]
}

func (b *bounds) SetFloor(f func() uint64)         { set(&b.floor, f) }
func (b *bounds) SetSnapshotIndex(f func() uint64) { set(&b.snapshot, f) }

func set(p *atomic.Pointer[func() uint64], f func() uint64) {
	if f == nil {
		p.Store(nil)
		return
	}
	p.Store(&f)
}

func get(p *atomic.Pointer[func() uint64]) uint64 {
	if f := p.Load(); f != nil {
		return (*f)()
	}
	return 0
}

func (b *bounds) floorIndex() uint64    { return get(&b.floor) }
func (b *bounds) snapshotIndex() uint64 { return get(&b.snapshot) }

// deletion is what a DeleteRange comes to: the log keeps [first, next). 0: that side stays as it is.
type deletion struct {
	first, next uint64
	compaction  bool
	err         error
}

// decideDelete says what deleting from..to means for a log that holds first..last (0..0: nothing).
//
// With to <= snapshot it is compaction, and ends below floor: deleting above the snapshot record, or what
// a lease or the shard still needs, would make a later start panic or a resync impossible. Anything else
// is Raft taking back entries that a new leader does not have: exact, and to the end of the log.
func decideDelete(from, to, first, last, snapshot, floor uint64) deletion {
	switch {
	case from > to || first == 0 || to < first || from > last:
		return deletion{compaction: to <= snapshot}
	case to <= snapshot:
		if from > first {
			return deletion{err: ErrNotSuffix}
		}
		keep := min(to+1, floor)
		if keep <= first {
			keep = 0
		}
		return deletion{first: keep, compaction: true}
	case to < last:
		return deletion{err: ErrNotSuffix}
	case from <= snapshot:
		return deletion{err: ErrBelowSnapshot}
	}
	return deletion{next: max(from, first)}
}
