package storage

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// errDistrusted: the leaf was accused by others, or was found to be damaged earlier. See Distrust.
var errDistrusted = errors.New("not to be trusted until it is repaired")

// distrust is the set of leaves that must not be served. Readers look at it for each window, so it is read without a lock.
type distrust struct {
	mu     sync.Mutex // of writers
	leaves atomic.Pointer[map[digest.Leaf]error]
}

// add enters leaves and returns those that were not there.
func (d *distrust) add(why error, leaves ...digest.Leaf) (fresh []digest.Leaf) {
	d.mu.Lock()
	defer d.mu.Unlock()
	set := make(map[digest.Leaf]error)
	if old := d.leaves.Load(); old != nil {
		set = maps.Clone(*old)
	}
	for _, leaf := range leaves {
		if _, ok := set[leaf]; !ok {
			set[leaf] = why
			fresh = append(fresh, leaf)
		}
	}
	d.leaves.Store(&set)
	return fresh
}

// drop takes leaves out; all of them when none is named.
func (d *distrust) drop(leaves ...digest.Leaf) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.leaves.Load()
	if old == nil {
		return
	}
	if len(leaves) == 0 {
		d.leaves.Store(nil)
		return
	}
	set := maps.Clone(*old)
	for _, leaf := range leaves {
		delete(set, leaf)
	}
	d.leaves.Store(&set)
}

// has reports whether a leaf is in the set.
func (d *distrust) has(leaf digest.Leaf) bool {
	set := d.leaves.Load()
	if set == nil {
		return false
	}
	_, ok := (*set)[leaf]
	return ok
}

// between is a leaf of a slot in the windows first..last, and why it is not trusted; nil when all of them are.
func (d *distrust) between(first, last int64, slot uint8) (digest.Leaf, error) {
	set := d.leaves.Load()
	if set == nil {
		return digest.Leaf{}, nil
	}
	for leaf, why := range *set {
		if leaf.Slot == slot && leaf.Window >= first && leaf.Window <= last {
			return leaf, why
		}
	}
	return digest.Leaf{}, nil
}

// list is the set in leaf order.
func (d *distrust) list() []digest.Leaf {
	set := d.leaves.Load()
	if set == nil {
		return nil
	}
	return slices.SortedFunc(maps.Keys(*set), digest.Leaf.Compare)
}

// Distrust makes reads of the leaves fail with a *DamageError (errors.Is ErrDamaged, Structure false) until Trust: they are
// damaged or accused. Reads that do not touch them go on, running scans included. Views go by what they read from a leaf
// that is not trusted, never by its stored digest. Nothing of it is stored: whoever opens the shard says it again.
func (s *Shard) Distrust(leaves ...digest.Leaf) { s.bad.add(errDistrusted, leaves...) }

// Trust takes leaves back into service: they were repaired, or acquitted. None named: all. A block that fails its CRC is
// still refused, and reported anew.
func (s *Shard) Trust(leaves ...digest.Leaf) {
	s.bad.drop(leaves...)
	s.doubtIndex()
}

// Distrusted lists the leaves that are not served, in order: those that Distrust named, and those that this shard has found
// to be damaged by itself.
func (s *Shard) Distrusted() []digest.Leaf { return s.bad.list() }

// badLeaf is told by the file of a record that fails its checksum.
func (s *Shard) badLeaf(leaf digest.Leaf, err error) {
	if len(s.bad.add(err, leaf)) == 0 {
		return
	}
	s.log.Error("shard has a bad leaf", "path", s.o.Path, "window", leaf.Window, "slot", leaf.Slot, "err", err)
	if s.o.BadLeaf != nil {
		s.o.BadLeaf(leaf, err)
	}
}
