package checking

import (
	"context"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

const (
	// checksAtOnce bounds the scheduled checks of this node.
	checksAtOnce = 4
	// schedulePoll is the longest pause between two looks at what is due.
	schedulePoll = 5 * time.Second
)

// Schedule has the groups checked that this node leads, each within the interval.
type Schedule struct {
	config *Config
	done   chan scheduled // of checks that ended, or have come to their repairs

	turns map[uint32]*antientropy.Turn // of the groups that are led here; Run's own
	busy  map[uint32]bool              // of the checks under way: whether it counts as one; Run's own
}

type scheduled struct {
	group   uint32
	repairs bool // it goes on with repairs, which have bounds of their own, and counts as a check no more
	equal   bool
	passing bool // only the moment was wrong
}

func newSchedule(c *Config) *Schedule {
	return &Schedule{config: c, done: make(chan scheduled, checksAtOnce), turns: make(map[uint32]*antientropy.Turn), busy: make(map[uint32]bool)}
}

// Run begins checks until ctx ends, and waits for those that it has begun.
func (s *Schedule) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		settings := s.config.settings()
		now := time.Now()
		s.look(now)
		if settings.Enabled {
			s.begin(ctx, &wg, antientropy.Due(now, settings, s.free()))
		}
		wait := schedulePoll
		if next := antientropy.NextDue(now, settings, s.free()); !next.IsZero() && s.checking() < checksAtOnce {
			wait = min(wait, max(time.Until(next), time.Millisecond))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case d := <-s.done:
			s.ended(d)
		case <-timer.C:
		}
		timer.Stop()
	}
}

// begin begins the checks that there is room for.
func (s *Schedule) begin(ctx context.Context, wg *sync.WaitGroup, due []uint32) {
	for _, group := range due {
		if s.checking() >= checksAtOnce {
			return
		}
		s.busy[group] = true
		wg.Go(func() { s.check(ctx, group) })
	}
}

// checking counts the checks under way that have not come to their repairs.
func (s *Schedule) checking() (n int) {
	for _, counts := range s.busy {
		if counts {
			n++
		}
	}
	return n
}

// look notes what is led here now, and what is known of its proofs.
func (s *Schedule) look(now time.Time) {
	proofs := s.config.Checks.Proofs()
	led := make(map[uint32]bool)
	for _, g := range s.config.Groups() {
		if !g.IsLeader() {
			continue
		}
		led[g.ID()] = true
		t := s.turns[g.ID()]
		if t == nil {
			t = &antientropy.Turn{Group: g.ID(), Since: now}
			s.turns[g.ID()] = t
		}
		t.Proof = proofs[g.ID()].Time
	}
	for group := range s.turns {
		if _, busy := s.busy[group]; !led[group] && !busy {
			delete(s.turns, group)
		}
	}
}

// free are the turns of groups that are not being checked.
func (s *Schedule) free() []antientropy.Turn {
	turns := make([]antientropy.Turn, 0, len(s.turns))
	for group, t := range s.turns {
		if _, busy := s.busy[group]; !busy {
			turns = append(turns, *t)
		}
	}
	return turns
}

func (s *Schedule) check(ctx context.Context, group uint32) {
	tell := func(d scheduled) {
		select {
		case s.done <- d:
		case <-ctx.Done():
		}
	}
	r, err := s.config.Checks.CheckGroup(ctx, group, antientropy.Options{
		Quick: true, Repair: true, Repairing: func() { tell(scheduled{group: group, repairs: true}) },
	})
	tell(scheduled{group: group, equal: err == nil && r.Unchecked == "" && (r.Equal || r.Repaired), passing: r.Passing})
}

func (s *Schedule) ended(d scheduled) {
	if d.repairs {
		s.busy[d.group] = false
		return
	}
	delete(s.busy, d.group)
	t := s.turns[d.group]
	if t == nil {
		return
	}
	t.Tried, t.Soon = time.Now(), d.passing
	if t.Failures++; d.equal {
		t.Failures = 0
	}
}
