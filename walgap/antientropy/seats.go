package antientropy

import "context"

// Seats bound the checks of one kind that are under way at once. A check that only waits, for another one of its group or
// for repairs, has none.
type Seats struct {
	taken chan struct{} // holds a token for each seat that somebody has
}

// NewSeats makes so many.
func NewSeats(n int) *Seats { return &Seats{make(chan struct{}, n)} }

// Take waits for a seat.
func (s *Seats) Take(ctx context.Context) (*Seat, error) {
	seat := &Seat{seats: s}
	return seat, seat.Return(ctx)
}

// Try gives nil where there is none now.
func (s *Seats) Try() *Seat {
	select {
	case s.taken <- struct{}{}:
		return &Seat{seats: s, has: true}
	default:
		return nil
	}
}

// Full reports whether there is none now.
func (s *Seats) Full() bool { return len(s.taken) == cap(s.taken) }

// Seat is one of them, or the right to come back to one; whose it is uses it alone. A nil one is always there.
type Seat struct {
	seats *Seats
	has   bool
	// Left is told when others can have it. Nil: nobody.
	Left func()
}

// Leave gives it up. It may be called again.
func (s *Seat) Leave() {
	if s == nil || !s.has {
		return
	}
	s.has = false
	<-s.seats.taken
	if s.Left != nil {
		s.Left()
	}
}

// Return waits for a seat, in the order of those who wait; it has one, then, if it has not got one already.
func (s *Seat) Return(ctx context.Context) error {
	if s == nil || s.has {
		return nil
	}
	select {
	case s.seats.taken <- struct{}{}:
		s.has = true
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
