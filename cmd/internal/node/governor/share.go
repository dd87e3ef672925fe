package governor

import "time"

const (
	// Floor is the least share of one core that background work gets, whatever clients do.
	Floor = 0.1
	// Ceiling is the most that it gets while clients ask: waits are what shows how busy the machine is.
	Ceiling = 0.4
	// first is what it begins with when clients come back.
	first = 0.2

	// Late is how late a wait may end. A timer of an idle process is up to a millisecond late by itself.
	Late = 1500 * time.Microsecond
	// fall is what is left of the share when one was later, at most once in fallEvery; rise is what comes back in a second.
	fall      = 0.7
	fallEvery = 20 * time.Millisecond
	rise      = 0.2

	// Slice is how long background work goes on between two looks.
	Slice = time.Millisecond
	// shortest and Longest bound one wait: shorter ones are saved up, and a piece that took very long, on a machine busy
	// with other things, does not stop the rest.
	shortest = time.Millisecond
	Longest  = 100 * time.Millisecond
	// credit bounds what a wait that was too long saves of the next ones: a few slices.
	credit = 20 * time.Millisecond
)

// share is how much of one core background work gets while clients ask, and what it owes. Times are since any one moment.
type share struct {
	of   float64
	owed time.Duration // waiting that its work so far calls for
	at   time.Duration // of the last change
	fell time.Duration // when it last fell
}

// begin is the share when clients come after a lull.
func begin(at time.Duration) share { return share{of: first, at: at, fell: at} }

// worked charges a piece of work, and gives the wait that is due now; 0: none yet.
func (s share) worked(d time.Duration) (share, time.Duration) {
	s.owed += time.Duration(float64(d) * (1 - s.of) / s.of)
	if s.owed < shortest {
		return s, 0
	}
	s.owed = min(s.owed, Longest)
	return s, s.owed
}

// waited pays off a wait that ended at a time, and learns from how late it was.
func (s share) waited(at, wait, late time.Duration) share {
	s.owed = max(s.owed-wait-late, -credit)
	if late > Late {
		if at-s.fell >= fallEvery {
			s.of, s.fell = max(s.of*fall, Floor), at
		}
	} else {
		s.of = min(s.of+rise*(at-s.at).Seconds(), Ceiling)
	}
	s.at = at
	return s
}
