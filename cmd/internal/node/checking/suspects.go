package checking

import (
	"context"
	"sync"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

const (
	// repairsAtOnce bounds the checks that this node makes at once of groups whose
	// replica here is suspect, but for the waits for their repairs: of those the
	// engine of the checks has as many under way.
	repairsAtOnce = 2
	// maxSuspects bounds those that wait; who finds no room is told of again.
	maxSuspects = 4096
)

// Suspects has groups checked, with repair, whose replica on this node is
// suspect, or that a scrub has found something odd in: what a read or a scrub met
// takes the path of every check, at once, and does not wait for the next one.
type Suspects struct {
	config *Config
	make   func(ctx context.Context, group uint32, seat *antientropy.Seat) // a check with repair
	queue  chan uint32

	mu      sync.Mutex
	waiting map[uint32]bool // guarded by mu: in the queue, or being checked
}

func newSuspects(c *Config) *Suspects {
	s := &Suspects{config: c, queue: make(chan uint32, maxSuspects), waiting: make(map[uint32]bool)}
	s.make = s.one
	return s
}

// Told is what the host calls: when a suspicion changes, and every minute while
// it stands. It does not block. What is disputed waits for a check that finds a
// majority.
func (s *Suspects) Told(group uint32, what raftgroup.Suspicion) {
	if !what.Disputed {
		s.Check(group)
	}
}

// Check asks for a check of a group, once. It does not block.
func (s *Suspects) Check(group uint32) {
	if !s.config.Settings().Enabled {
		return // `flotilla verify --repair` mends it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[group] {
		return
	}
	select {
	case s.queue <- group:
		s.waiting[group] = true
	default:
	}
}

// Run checks what is asked for until ctx ends, and waits for what it has begun.
func (s *Suspects) Run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	seats := antientropy.NewSeats(repairsAtOnce)
	for {
		seat, err := seats.Take(ctx)
		if err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case group := <-s.queue:
			wg.Go(func() {
				defer seat.Leave()
				s.make(ctx, group, seat)
				s.mu.Lock()
				defer s.mu.Unlock()
				delete(s.waiting, group)
			})
		}
	}
}

func (s *Suspects) one(ctx context.Context, group uint32, seat *antientropy.Seat) {
	g, err := s.config.Group(group)
	if err != nil {
		return
	}
	if what, some := g.Suspicion(); some {
		s.config.Checks.Note(api.EventReplica, &group, "", "the replica is suspect: %s", what.Why)
		if seat.Leave(); othersMended(ctx, g) || seat.Return(ctx) != nil {
			return
		}
	}
	r, err := s.config.Checks.CheckGroup(ctx, group, antientropy.Options{Repair: true, Seat: seat})
	switch {
	case err != nil:
	case r.Equal || r.Repaired:
		s.config.Logger.Info("a suspect replica is proven equal", "group", group, "repaired", r.Repaired, "index", r.Place.Index)
	default:
		s.config.Logger.Warn("a suspect replica is not mended yet", "group", group, "unchecked", r.Unchecked, "disputed", r.Disputed)
	}
}
