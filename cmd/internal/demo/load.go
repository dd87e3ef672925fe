package demo

import (
	"context"
	"time"
)

// How long the devices write at least in each part of the story.
const (
	steadyFor = 4 * time.Second
	afterKill = 4 * time.Second
	againFor  = 2 * time.Second
)

// tellLoad lets the simulated devices write until every group is live.
func tellLoad(ctx context.Context, s *stage) error {
	if err := s.live(ctx); err != nil {
		return err
	}
	return s.compare(ctx, "simulated points", s.fleet.Processes...)
}

// live makes every group live, once.
func (s *stage) live(ctx context.Context) error {
	if s.devices.ledger.Acked() > 0 {
		return nil
	}
	s.say.line("Simulated, not real: %s devices, about %s points a second, one point a write, through all nodes.",
		thousands(simulated), thousands(pointsASecond))
	began, every := time.Now(), false
	if every = s.run(ctx, 0); every {
		s.say.line("every group has taken its first write after %s", seconds(time.Since(began)))
	}
	s.run(ctx, steadyFor)
	longest, groups := s.devices.ledger.LongestWait()
	s.score.check("the load makes all groups live", every && groups == totalGroups,
		"%d groups, %d acked, no write waited longer than %s", groups, s.devices.ledger.Acked(), seconds(longest.Duration))
	return s.healthy(ctx)
}
