package directory

import (
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

const (
	// steadyAfter is how long a server must have answered without a break before
	// it becomes the fourth voter or a later one, or replaces one.
	steadyAfter = 10 * time.Second
	// goneAfter is how long a voter must have been silent before it loses its
	// vote: longer than a restart.
	goneAfter = 30 * time.Second
)

// presence is what one leader has seen of the servers of the meta group since
// it leads: each has been up, or down, since some moment. What another leader
// saw does not count: a new one waits anew before it changes anything.
type presence struct {
	now  func() time.Time // monotonic
	last map[membership.ServerID]spell
}

// spell is a time in which a server was up, or down, at every look.
type spell struct {
	up    bool
	since time.Time
}

func newPresence() *presence {
	return &presence{now: time.Now, last: map[membership.ServerID]spell{}}
}

// look notes who is up now, and says of each member how long that has been so.
// Servers that are no members any more are forgotten.
func (p *presence) look(members []Member, up func(membership.ServerID) bool) {
	now := p.now()
	current := make(map[membership.ServerID]spell, len(members))
	for i := range members {
		m := &members[i]
		m.Up = up(m.ID)
		s, known := p.last[m.ID]
		if !known || s.up != m.Up {
			s = spell{up: m.Up, since: now}
		}
		current[m.ID] = s
		m.Steady = s.up && now.Sub(s.since) >= steadyAfter
		m.Gone = !s.up && now.Sub(s.since) >= goneAfter
	}
	p.last = current
}
