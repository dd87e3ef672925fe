package storage

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

const (
	maxLeases  = 256         // of a shard
	defaultTTL = time.Minute // of a lease or cut that names none
	maxTTL     = 7 * 24 * 60 * 60 * time.Second
	maxGone    = 64 // cuts whose end is remembered, to answer ErrNotPinned instead of waiting
)

// ErrTooManyLeases: the shard holds maxLeases live ones. End some, or wait until they run out.
var ErrTooManyLeases = errors.New("too many leases")

// Record is a lease as the shard keeps it.
type Record struct {
	ID      string
	Purpose string
	Index   uint64 // of the entry that made it
	From    uint64 // where Log is set: what it keeps begins here, at or below Index; 0: at Index
	TTL     time.Duration
	Log     bool // keeps the log from Floor on
	View    bool // was made by a cut
}

// floor is the From of a lease's record: 0 unless it reaches below the entry that made it.
func (l Lease) floor(index uint64) uint64 {
	if l.From >= index {
		return 0
	}
	return l.From
}

// Floor is the first index of the log that the lease keeps, where Log is set.
func (r Record) Floor() uint64 {
	if r.From > 0 {
		return r.From
	}
	return r.Index
}

// lease is a Record and where it ends here: on the monotonic clock of this process, counted from apply or from open.
type lease struct {
	Record
	deadline time.Time
}

// leaseTable is part of the shard's state; the shard's lock guards it.
type leaseTable struct{ byID map[string]*lease }

func newLeaseTable(records []Record, now time.Time) leaseTable {
	t := leaseTable{byID: make(map[string]*lease)}
	for _, r := range records {
		t.byID[r.ID] = &lease{r, now.Add(r.TTL)}
	}
	return t
}

// take adds a lease, or renews the one with its id: index and what it keeps stay.
func (t *leaseTable) take(r Record, now time.Time) error {
	if r.TTL <= 0 {
		r.TTL = defaultTTL
	}
	r.TTL = min(r.TTL, maxTTL)
	if old := t.byID[r.ID]; old != nil {
		old.TTL, old.deadline = r.TTL, now.Add(r.TTL)
		return nil
	}
	if len(t.byID) >= maxLeases {
		return ErrTooManyLeases
	}
	t.byID[r.ID] = &lease{r, now.Add(r.TTL)}
	return nil
}

// expire removes what has run out and returns it.
func (t *leaseTable) expire(now time.Time) (ended []string) {
	for id, l := range t.byID {
		if !now.Before(l.deadline) {
			ended = append(ended, id)
			delete(t.byID, id)
		}
	}
	return ended
}

// next is when the first lease runs out.
func (t *leaseTable) next() (at time.Time, ok bool) {
	for _, l := range t.byID {
		if !ok || l.deadline.Before(at) {
			at, ok = l.deadline, true
		}
	}
	return at, ok
}

// records are the leases by index, then id.
func (t *leaseTable) records() []Record {
	list := make([]Record, 0, len(t.byID))
	for _, l := range t.byID {
		list = append(list, l.Record)
	}
	slices.SortFunc(list, func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// Leases are the live leases, by index.
func (s *Shard) Leases() []Record {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := time.Now()
	return slices.DeleteFunc(s.leases.records(), func(r Record) bool { return !now.Before(s.leases.byID[r.ID].deadline) })
}

// LeaseFloor is the lowest index that a live lease keeps in the log: that entry and all after it must stay.
func (s *Shard) LeaseFloor() (uint64, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	now := time.Now()
	floor, ok := uint64(0), false
	for _, l := range s.leases.byID {
		if l.Log && now.Before(l.deadline) && (!ok || l.Floor() < floor) {
			floor, ok = l.Floor(), true
		}
	}
	return floor, ok
}
