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
	seats  *antientropy.Seats
	done   chan scheduled // of checks that ended
	left   chan struct{}  // holds a token when one has left its seat

	turns map[uint32]*antientropy.Turn // of the groups that are led here; Run's own
	busy  map[uint32]bool              // the checks under way, those that wait for repairs too; Run's own
}

type scheduled struct {
	group   uint32
	equal   bool
	passing bool // only the moment was wrong
}

func newSchedule(c *Config) *Schedule {
	return &Schedule{config: c, seats: antientropy.NewSeats(checksAtOnce), done: make(chan scheduled, checksAtOnce), left: make(chan struct{}, 1),
		turns: make(map[uint32]*antientropy.Turn), busy: make(map[uint32]bool)}
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
		if next := antientropy.NextDue(now, settings, s.free()); !next.IsZero() && !s.seats.Full() {
			wait = min(wait, max(time.Until(next), time.Millisecond))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case d := <-s.done:
			s.ended(d)
		case <-s.left:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// begin begins the checks that there is room for.
func (s *Schedule) begin(ctx context.Context, wg *sync.WaitGroup, due []uint32) {
	for _, group := range due {
		seat := s.seats.Try()
		if seat == nil {
			return
		}
		s.busy[group] = true
		wg.Go(func() { s.check(ctx, group, seat) })
	}
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
		if !led[group] && !s.busy[group] {
			delete(s.turns, group)
		}
	}
}

// free are the turns of groups that are not being checked.
func (s *Schedule) free() []antientropy.Turn {
	turns := make([]antientropy.Turn, 0, len(s.turns))
	for group, t := range s.turns {
		if !s.busy[group] {
			turns = append(turns, *t)
		}
	}
	return turns
}

func (s *Schedule) check(ctx context.Context, group uint32, seat *antientropy.Seat) {
	seat.Left = func() {
		select {
		case s.left <- struct{}{}:
		default: // Run looks anyway
		}
	}
	r, err := s.config.Checks.CheckGroup(ctx, group, antientropy.Options{Quick: true, Repair: true, Seat: seat})
	seat.Leave()
	select {
	case s.done <- scheduled{group: group, equal: err == nil && r.Unchecked == "" && (r.Equal || r.Repaired), passing: r.Passing}:
	case <-ctx.Done():
	}
}

func (s *Schedule) ended(d scheduled) {
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
