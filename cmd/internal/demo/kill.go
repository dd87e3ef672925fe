package demo

import (
	"context"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
)

// tellKill kills the node that leads most groups while devices write to all of them.
func tellKill(ctx context.Context, s *stage) error {
	if err := s.live(ctx); err != nil {
		return err
	}
	s.run(ctx, againFor)
	groups, err := s.groups(ctx)
	if err != nil {
		return err
	}
	leads, _ := leaders(groups)
	victim, survivors := s.choose(leads)
	before := s.devices.ledger.Acked()
	if err := victim.Kill(); err != nil {
		return err
	}
	s.say.line("kill -9 %s (pid %d), which led %d groups; the devices go on writing", victim.Name, victim.PID(), leads[victim.Name])
	every := s.run(ctx, afterKill)
	longest, writing := s.devices.ledger.LongestWait()
	s.score.check("every group takes writes again", every, "%d groups; longest pause of any group's writes: %s (group %d); %d acked since",
		writing, seconds(longest.Duration), longest.Group, s.devices.ledger.Acked()-before)
	if err := s.compare(ctx, "no acked point is missing, "+victim.Name+" dead", survivors...); err != nil {
		return err
	}
	if err := s.compareWeather(ctx, "real readings, "+victim.Name+" dead", survivors...); err != nil {
		return err
	}
	return s.bringBack(ctx, victim)
}

// choose gives the node that leads most groups, and the others.
func (s *stage) choose(leads map[string]int) (victim *fleet.Process, survivors []*fleet.Process) {
	victim = s.fleet.Processes[0]
	for _, p := range s.fleet.Processes {
		if leads[p.Name] > leads[victim.Name] {
			victim = p
		}
	}
	for _, p := range s.fleet.Processes {
		if p != victim {
			survivors = append(survivors, p)
		}
	}
	return victim, survivors
}

// bringBack starts a dead node again while devices write, and lets it prove that it has everything.
func (s *stage) bringBack(ctx context.Context, p *fleet.Process) error {
	s.devices.resume(ctx)
	began := time.Now()
	if err := s.startAll(ctx); err != nil {
		return err
	}
	s.say.line("%s is started again, and ready after %s", p.Name, seconds(time.Since(began)))
	if err := s.verified(ctx, "with "+p.Name+" back, writes going on"); err != nil {
		return err
	}
	if err := s.compare(ctx, "simulated points, through "+p.Name, p); err != nil {
		return err
	}
	return s.compareWeather(ctx, "real readings, through "+p.Name, p)
}
