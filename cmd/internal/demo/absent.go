package demo

import (
	"context"
	"os"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/fleet"
	"github.com/flotilla-db/flotilla/rpc/api"
)

// awayFor is how long the devices write at least while a node is away.
const awayFor = 3 * time.Second

// absence is a node that goes away and comes back while devices write.
type absence struct {
	what    string                              // for the table and the checks
	leave   func(*fleet.Process) error          // how it goes
	without func(context.Context, *stage) error // what is done while it is away; nil: nothing
	verdict string                              // what most groups need afterwards
	enough  func([]api.Job) bool                // whether the jobs that had to come are there
}

// tellReplay stops a node for a short time: the log has what it missed.
func tellReplay(ctx context.Context, s *stage) error {
	m, jobs, err := s.absent(ctx, absence{what: "stopped for a short time", leave: stopped, verdict: "replay",
		enough: func(jobs []api.Job) bool { return len(jobs) > 0 }})
	if err != nil {
		return err
	}
	s.score.check("a short absence is replayed, nothing is copied", allDone(jobs) && m.verdicts["replay"] == len(jobs) && m.bytes == 0,
		"%s, %s moved, equal after %s%s", m.verdictsText(), size(m.bytes), seconds(m.took), failures(jobs))
	return nil
}

// onTheirWay bounds the groups whose gap closes by itself: an append that a leader was sending when the node went, and
// sends again from memory when it is back, may be just what the trimmed log lacks.
const onTheirWay = totalGroups / 32

// tellDelta trims the log while a node is away: only what changed is copied.
func tellDelta(ctx context.Context, s *stage) error {
	m, jobs, err := s.absent(ctx, absence{what: "stopped, the log trimmed meanwhile", leave: stopped, without: trimmed, verdict: "delta",
		enough: func(jobs []api.Job) bool { return counted(jobs, "delta")+counted(jobs, "replay") == totalGroups }})
	if err != nil {
		return err
	}
	var equal, fetched int64
	for _, j := range jobs {
		equal += j.LeavesEqual
		fetched += j.LeavesMissing + j.LeavesDiffering
	}
	s.score.check("behind the log, only changed leaves are copied", allDone(jobs) && m.verdicts["delta"] >= totalGroups-onTheirWay && equal > fetched && fetched > 0,
		"%s: %d leaves fetched, %d were equal; %s moved, shards hold %s, equal after %s%s",
		m.verdictsText(), fetched, equal, size(m.bytes), size(m.shards), seconds(m.took), failures(jobs))
	return nil
}

// tellWiped takes a node's disk away: everything is copied, from both others.
func tellWiped(ctx context.Context, s *stage) error {
	m, jobs, err := s.absent(ctx, absence{what: "kill -9, and its disk wiped", leave: wiped, verdict: "full",
		enough: func(jobs []api.Job) bool { return counted(jobs, "full") == totalGroups }})
	if err != nil {
		return err
	}
	s.score.check("a wiped disk is filled from two sources", allDone(jobs) && m.verdicts["full"] == totalGroups && len(m.sources) == nodes-1,
		"%s: %s from %s, equal after %s%s", m.verdictsText(), size(m.bytes), m.sourcesText(), seconds(m.took), failures(jobs))
	return nil
}

// absent tells one absence of the node that leads most groups, and checks that no acked point is missing afterwards.
func (s *stage) absent(ctx context.Context, a absence) (m moved, jobs []api.Job, err error) {
	if err := s.live(ctx); err != nil {
		return m, nil, err
	}
	if err := s.past(ctx); err != nil {
		return m, nil, err
	}
	groups, err := s.groups(ctx)
	if err != nil {
		return m, nil, err
	}
	leads, _ := leaders(groups)
	victim, _ := s.choose(leads)
	s.devices.resume(ctx)
	if err := s.during(ctx, func() string { return "waiting for the end of " + victim.Name }, func(context.Context) error { return a.leave(victim) }); err != nil {
		return m, nil, err
	}
	s.say.line("%s is gone (%s); the devices go on writing", victim.Name, a.what)
	if !s.run(ctx, awayFor) {
		s.score.check("every group takes writes without "+victim.Name, false, "within %s", seconds(patience))
	}
	if a.without != nil {
		if err := a.without(ctx, s); err != nil {
			return m, nil, err
		}
	}
	began := time.Now()
	s.devices.ledger.ResetWaits()
	if err := s.startAll(ctx); err != nil {
		return m, nil, err
	}
	if jobs, err = s.equalAgain(ctx, victim, began, a.enough); err != nil {
		return m, nil, err
	}
	s.exceptions(jobs, a.verdict)
	if m, err = s.account(ctx, a.what, victim, jobs, time.Since(began)); err != nil {
		return m, nil, err
	}
	if err := s.verified(ctx, "with "+victim.Name+" back, writes going on"); err != nil {
		return m, nil, err
	}
	if err := s.compare(ctx, "simulated points, through "+victim.Name, victim); err != nil {
		return m, nil, err
	}
	return m, jobs, s.compareWeather(ctx, "real readings, through "+victim.Name, victim)
}

func stopped(p *fleet.Process) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
	defer cancel()
	return p.Stop(ctx)
}

func wiped(p *fleet.Process) error {
	if err := p.Kill(); err != nil {
		return err
	}
	return os.RemoveAll(p.DataDir)
}

// trimmed has every live replica drop its log.
func trimmed(ctx context.Context, s *stage) error {
	s.say.command("group trim --all")
	return s.during(ctx, func() string { return "group trim --all" }, func(ctx context.Context) error {
		_, code, err := s.flotilla(ctx, nil, "group", "trim", "--all", "-o", "json")
		if err == nil && code != 0 {
			s.score.check("group trim --all", false, "exit code %d", code)
		}
		return err
	})
}

func counted(jobs []api.Job, verdict string) (n int) {
	for _, j := range jobs {
		if j.Verdict != nil && *j.Verdict == verdict {
			n++
		}
	}
	return n
}
