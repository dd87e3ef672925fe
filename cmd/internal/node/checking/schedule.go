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
	schedulePoll = time.Second
	// untoldSpread is the time over which a node that has started has the groups checked that it leads, and after which it has those
	// checked that others lead, of which its replicas have told no root yet. Where all nodes start at once the leaders are first.
	untoldSpread = 2 * time.Second
)

// Schedule has the groups checked that this node leads, each within the interval; those whose replicas here have told no root since
// the node started, soon; and those that somebody asks for, at once.
type Schedule struct {
	config *Config
	seats  *antientropy.Seats
	done   chan scheduled // of checks that ended
	wake   chan struct{}  // holds a token when there is something to look at: a check has left its seat, say

	turns map[uint32]*antientropy.Turn // of the groups that are led here, or wanted; Run's own
	busy  map[uint32]bool              // the checks under way, those that wait for repairs too; Run's own

	mu    sync.Mutex
	asked map[uint32]*asked // guarded by mu
}

// asked is a check that somebody asked for.
type asked struct {
	at    time.Time
	ended chan struct{} // closed when a check has ended that began after that
}

type scheduled struct {
	group   uint32
	began   time.Time
	equal   bool
	passing bool // only the moment was wrong
}

func newSchedule(c *Config) *Schedule {
	return &Schedule{config: c, seats: antientropy.NewSeats(checksAtOnce), done: make(chan scheduled, checksAtOnce), wake: make(chan struct{}, 1),
		turns: make(map[uint32]*antientropy.Turn), busy: make(map[uint32]bool), asked: make(map[uint32]*asked)}
}

// Ask has a group checked now, whoever leads it, and waits for the end of that check, or for that of ctx. Where this
// node is to make no checks by itself it does nothing.
func (s *Schedule) Ask(ctx context.Context, group uint32) {
	if !s.config.Settings().Enabled {
		return
	}
	s.mu.Lock()
	a := s.asked[group]
	if a == nil {
		a = &asked{time.Now(), make(chan struct{})}
		s.asked[group] = a
	}
	s.mu.Unlock()
	s.awake()
	select {
	case <-a.ended:
	case <-ctx.Done():
	}
}

func (s *Schedule) awake() {
	select {
	case s.wake <- struct{}{}:
	default: // Run looks anyway
	}
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
		case <-s.wake:
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

// look notes what is led here now, or wanted, and what is known of its proofs.
func (s *Schedule) look(now time.Time) {
	proofs := s.config.Checks.Proofs()
	s.mu.Lock()
	defer s.mu.Unlock()
	here := make(map[uint32]bool)
	for _, g := range s.config.Groups() {
		a, led, untold := s.asked[g.ID()], g.IsLeader(), g.RootUntold()
		if a == nil && !led && !untold {
			continue
		}
		here[g.ID()] = true
		t := s.turns[g.ID()]
		if t == nil {
			t = &antientropy.Turn{Group: g.ID(), Since: now}
			s.turns[g.ID()] = t
		}
		t.Proof, t.Wanted = proofs[g.ID()].Time, wanted(t, a, led, untold)
	}
	for group := range s.turns {
		if !here[group] && !s.busy[group] {
			delete(s.turns, group)
		}
	}
	for group, a := range s.asked {
		if !here[group] { // there is no replica of it here
			close(a.ended)
			delete(s.asked, group)
		}
	}
}

// wanted is from when on a check is wanted, whatever the interval says; zero: none is.
func wanted(t *antientropy.Turn, a *asked, led, untold bool) time.Time {
	switch {
	case a != nil:
		return a.at
	case !untold || t.Failures > 0: // which has a pause of its own
		return time.Time{}
	}
	at := t.Since
	if t.Tried.After(at) {
		at = t.Tried
	}
	if !led {
		at = at.Add(untoldSpread)
	}
	return at.Add(antientropy.Spread(t.Group, untoldSpread))
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
	seat.Left = s.awake
	began := time.Now()
	r, err := s.config.Checks.CheckGroup(ctx, group, antientropy.Options{Quick: true, Repair: true, Seat: seat})
	seat.Leave()
	select {
	case s.done <- scheduled{group: group, began: began, equal: err == nil && r.Unchecked == "" && (r.Equal || r.Repaired), passing: r.Passing}:
	case <-ctx.Done():
	}
}

func (s *Schedule) ended(d scheduled) {
	delete(s.busy, d.group)
	s.mu.Lock()
	if a := s.asked[d.group]; a != nil && !d.began.Before(a.at) {
		close(a.ended)
		delete(s.asked, d.group)
	}
	s.mu.Unlock()
	t := s.turns[d.group]
	if t == nil {
		return
	}
	t.Tried, t.Soon = time.Now(), d.passing
	if t.Failures++; d.equal {
		t.Failures = 0
	}
}
