package raftlog

import (
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// maxUnapplied bounds the entries that all logs of the boltdb engine keep in memory together. What finds no room is
// on disk alone.
const maxUnapplied = 64 << 20

// unapplied keeps the entries of a log in memory until the state machine has applied them: Raft panics when it cannot read
// such an entry, and the file may have gone bad under it. See pins for the other engine.
type unapplied struct {
	applied atomic.Pointer[func() uint64] // nil: nobody has told, and nothing is kept
	total   *atomic.Int64                 // bytes, of all logs

	mu        sync.Mutex
	entries   map[uint64]raft.Log // guarded by mu, as the rest
	low, high uint64              // around their indices; 0, 0: there are none
}

// keep takes entries in that are on disk now, and lets go of what is applied.
func (u *unapplied) keep(logs ...*raft.Log) {
	if u.applied.Load() == nil {
		return
	}
	applied := get(&u.applied)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dropLocked(0, applied)
	for _, log := range logs {
		if log.Index <= applied {
			continue
		}
		u.dropLocked(log.Index, log.Index)
		if u.total.Add(entryBytes(log)) > maxUnapplied {
			u.total.Add(-entryBytes(log))
			return
		}
		if len(u.entries) == 0 {
			u.entries, u.low, u.high = make(map[uint64]raft.Log), log.Index, log.Index
		}
		u.entries[log.Index] = *log
		u.low, u.high = min(u.low, log.Index), max(u.high, log.Index)
	}
}

// drop forgets from..to, which are not in the log any more.
func (u *unapplied) drop(from, to uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dropLocked(from, to)
}

func (u *unapplied) dropLocked(from, to uint64) {
	if len(u.entries) == 0 {
		return
	}
	for i := max(from, u.low); i <= min(to, u.high); i++ {
		if log, held := u.entries[i]; held {
			u.total.Add(-entryBytes(&log))
			delete(u.entries, i)
		}
	}
	if from <= u.low {
		u.low = max(u.low, min(to, u.high)+1)
	}
	if to >= u.high {
		u.high = min(u.high, max(from, u.low)-1)
	}
}

// get gives an entry that is kept.
func (u *unapplied) get(i uint64, log *raft.Log) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	held, ok := u.entries[i]
	if ok {
		*log = held
	}
	return ok
}

// SetApplied keeps what is not applied of what was found on disk, too.
func (l *boltLog) SetApplied(applied func() uint64) {
	set(&l.unapplied.applied, applied)
	if applied == nil {
		l.unapplied.drop(0, ^uint64(0))
		return
	}
	l.mu.RLock()
	first, last := l.first, l.last
	l.mu.RUnlock()
	for i := max(first, applied()+1); first != 0 && i <= last; i++ {
		log := new(raft.Log)
		if l.get(i, log) == nil {
			l.unapplied.keep(log)
		}
	}
}
