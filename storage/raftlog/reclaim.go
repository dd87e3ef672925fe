package raftlog

import (
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// moveBytes bounds what one request of the reclaimer copies: a group's writes wait for it.
const moveBytes = 256 << 10

// reclaimer frees the oldest segment, again and again:
//
//	while there is a segment older than the one written to:
//	    if nothing in it is live: free it
//	    else if less than 1/10 of it is live, or most of the whole log is dead, or it or a later one is
//	    condemned: copy what is live forward, free it
//	    else stop
//
// Always the oldest: the record of a truncation must outlive what it deleted. Freeing dead segments in the
// middle was rejected for that reason. Copying also when most of the log is dead keeps one segment with,
// say, 11% of live entries from pinning everything behind it.
type reclaimer struct {
	s        *Shared
	kick     chan struct{}
	stopping chan struct{}
	stopped  chan struct{}
}

func newReclaimer(s *Shared) *reclaimer {
	return &reclaimer{s: s, kick: make(chan struct{}, 1), stopping: make(chan struct{}), stopped: make(chan struct{})}
}

// look makes the reclaimer look whether there is something to free.
func (r *reclaimer) look() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

func (r *reclaimer) run() {
	defer close(r.stopped)
	for {
		select {
		case <-r.stopping:
			return
		case <-r.kick:
		}
		if err := r.reclaim(); err != nil {
			r.report(err)
		}
	}
}

func (r *reclaimer) report(err error) {
	var corrupt *CorruptError
	switch {
	case errors.Is(err, ErrClosed), errors.Is(err, ErrFailed):
	case errors.As(err, &corrupt):
		r.s.o.Logger.Error("log segment cannot be freed: it holds a bad entry", "error", err)
	case errors.Is(err, ErrNoSpace):
		r.s.o.Logger.Warn("log segment cannot be freed now", "error", err)
	default:
		r.s.committer.fail(err)
	}
}

func (r *reclaimer) close() {
	close(r.stopping)
	<-r.stopped
}

func (r *reclaimer) isStopping() bool {
	select {
	case <-r.stopping:
		return true
	default:
		return false
	}
}

func (r *reclaimer) reclaim() error {
	for !r.isStopping() {
		seg, ok := r.s.segments.oldest()
		if !ok {
			return nil
		}
		live := seg.live.Load()
		if live*10 >= max(seg.total.Load(), 1) && !r.s.segments.mostlyDead() && !r.s.segments.condemned() {
			return nil
		}
		for _, g := range r.s.allGroups() {
			if r.isStopping() {
				return nil
			}
			if err := r.moveGroup(g, seg); err != nil {
				return fmt.Errorf("copy entries of group %d forward: %w", g.id, err)
			}
		}
		if err := r.s.segments.free(seg); err != nil {
			return err
		}
	}
	return nil
}

// moveGroup copies what seg holds of a group to the end of the log. It looks only under the writer's lock:
// a writer that has not yet been scheduled since its batch became durable may have records in seg that the
// index does not show; a later writer cannot, as seg is full.
func (r *reclaimer) moveGroup(g *groupLog, seg *segment) error {
	for done := false; !done; {
		var err error
		g.lock()
		done, err = r.moveSome(g, seg)
		g.unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// firstIn returns the first run of entries that lies in seg. Needs mu.
func (g *groupLog) firstIn(seg *segment) (first, end uint64, ok bool) {
	for k := range g.index.runs {
		if g.index.runs[k].seg == seg {
			return g.index.runs[k].first, g.index.runs[k].end(), true
		}
	}
	return 0, 0, false
}

// moveSome copies the group's state, or at most moveBytes of its entries. The writer's lock is held.
func (r *reclaimer) moveSome(g *groupLog, seg *segment) (done bool, err error) {
	g.mu.RLock()
	first, end, some := g.firstIn(seg)
	state := g.anchor == seg && g.needsAnchor()
	from := g.index.first()
	if from == 0 {
		from = g.next
	}
	e := dirEntry{kind: kindReset, moved: true, group: g.id, life: g.life, a: uint64(g.generation), b: from}
	g.mu.RUnlock()
	if state {
		return !some, r.s.appendState(g, e)
	}
	if !some {
		return true, nil
	}
	var logs []*raft.Log
	for i, n := first, 0; i < end && n < moveBytes; i++ {
		rec, err := r.s.read(g, i)
		if err != nil {
			return false, err
		}
		log := new(raft.Log)
		rec.entry(log)
		n += len(log.Data)
		logs = append(logs, log)
	}
	return false, r.s.appendEntries(g, true, logs)
}
