package demo

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// tellBlackout kills all nodes at once while devices write: what was acknowledged is on disk, or it is lost.
func tellBlackout(ctx context.Context, s *stage) error {
	if err := s.live(ctx); err != nil {
		return err
	}
	s.run(ctx, againFor)
	var g errgroup.Group
	for _, p := range s.fleet.Processes {
		g.Go(p.Kill)
	}
	if err := g.Wait(); err != nil {
		return err
	}
	s.devices.pause()
	s.say.line("all three are gone in mid-write; %d points were acked so far", s.devices.ledger.Acked())
	began := time.Now()
	if err := s.startAll(ctx); err != nil {
		return err
	}
	s.say.line("started again, and ready after %s", seconds(time.Since(began)))
	if err := s.compare(ctx, "no acked point is missing after a blackout", s.fleet.Processes...); err != nil {
		return err
	}
	if err := s.compareWeather(ctx, "real readings after a blackout", s.fleet.Processes...); err != nil {
		return err
	}
	s.say.line("the devices write again")
	every := s.run(ctx, againFor)
	_, groups := s.devices.ledger.LongestWait()
	s.score.check("every group takes writes after a blackout", every, "%d groups, %d acked", groups, s.devices.ledger.Acked())
	return s.verified(ctx, "after a blackout")
}
