package raftlog

import (
	"fmt"
)

func (l *boltLog) DeleteRange(from, to uint64) error {
	if err := l.lock(); err != nil {
		return err
	}
	defer l.unlock()
	l.mu.RLock()
	d := decideDelete(from, to, l.first, l.last, l.snapshotIndex(), l.floorIndex())
	l.mu.RUnlock()
	if d.err != nil {
		return fmt.Errorf("delete %d..%d of log of group %d: %w", from, to, l.group, d.err)
	}
	if d.compaction {
		l.wanted = max(l.wanted, to)
	}
	return l.truncate(d)
}

func (l *boltLog) Compact() error {
	if err := l.lock(); err != nil {
		return err
	}
	defer l.unlock()
	if l.wanted == 0 || l.first == 0 || l.first > l.wanted {
		return nil
	}
	return l.truncate(decideDelete(l.first, l.wanted, l.first, l.last, max(l.snapshotIndex(), l.wanted), l.floorIndex()))
}

func (l *boltLog) Drop(through uint64) error {
	if err := l.lock(); err != nil {
		return err
	}
	defer l.unlock()
	if l.first == 0 || through < l.first {
		return nil
	}
	return l.truncate(deletion{first: through + 1})
}

func (l *boltLog) Reset(next uint64, generation uint32) error {
	if err := l.lockLost(); err != nil {
		return err
	}
	defer l.unlock()
	switch {
	case l.isLost() != nil:
		return l.replace(next, generation)
	case l.broken.Load():
		return ErrDamaged
	}
	if generation < l.state.generation {
		return fmt.Errorf("reset log of group %d to generation %d from %d: %w", l.group, generation, l.state.generation, ErrGeneration)
	}
	l.wanted = 0
	if err := l.setState(boltState{generation: generation, next: next, pending: true}); err != nil {
		return err
	}
	return l.write("reset", l.finishReset)
}

// finishReset deletes all entries, and then the note that says so.
func (l *boltLog) finishReset() error {
	if err := l.deleteAll(l.first, l.last); err != nil {
		return err
	}
	l.unapplied.drop(0, ^uint64(0))
	state := l.state
	state.pending = false
	if err := l.store.Set(boltStateKey, state.encode()); err != nil {
		return err
	}
	l.mu.Lock()
	l.state = state
	l.mu.Unlock()
	return l.bound()
}

func (l *boltLog) setState(s boltState) error {
	if err := l.write("reset", func() error { return l.store.Set(boltStateKey, s.encode()) }); err != nil {
		return err
	}
	l.mu.Lock()
	l.state = s
	l.mu.Unlock()
	return nil
}

// truncate carries a decision out. The writer calls it. What empties the log first notes the next index,
// which the entries will not tell any more.
func (l *boltLog) truncate(d deletion) error {
	if d.first == 0 && d.next == 0 {
		return nil
	}
	from, to := l.first, min(l.last, d.first-1)
	if d.next > 0 {
		from, to = d.next, l.last
		defer l.unapplied.drop(from, to)
	}
	if from == l.first && to == l.last {
		s := l.state
		s.next = max(d.first, d.next)
		if err := l.setState(s); err != nil {
			return err
		}
	}
	err := l.write("truncate", func() error { return l.deleteAll(from, to) })
	if err != nil {
		return err
	}
	return l.bound()
}

// deleteAll deletes from..to, which begins or ends the log, and sees that nothing of it is left: bbolt's
// cursor has skipped keys while deleting.
func (l *boltLog) deleteAll(from, to uint64) error {
	for from != 0 && from <= to {
		if err := l.store.DeleteRange(from, to); err != nil {
			return err
		}
		first, err := l.store.FirstIndex()
		if err != nil {
			return err
		}
		last, err := l.store.LastIndex()
		if err != nil {
			return err
		}
		if first == 0 || (first < from || first > to) && (last < from || last > to) {
			return nil
		}
	}
	return nil
}
