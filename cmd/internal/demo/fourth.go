package demo

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// movedGroups is how many replicas the fourth node takes over.
const movedGroups = 12

// tellFourth adds a node and moves replicas of some groups to it: added without a vote, proven, then voting; only then
// the old one goes.
func tellFourth(ctx context.Context, s *stage) error {
	if err := s.live(ctx); err != nil {
		return err
	}
	if err := s.past(ctx); err != nil {
		return err
	}
	s.devices.resume(ctx)
	if err := trimmed(ctx, s); err != nil { // otherwise the log has everything, and nothing is copied
		return err
	}
	p, err := s.fleet.Add()
	if err != nil {
		return err
	}
	if err := s.startAll(ctx); err != nil {
		return err
	}
	groups, err := s.groups(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	s.devices.ledger.ResetWaits()
	took := 0
	for _, g := range pick(groups, movedGroups) {
		from := g.ReplicaNodes[0]
		args := []string{"group", "move", strconv.Itoa(int(g.GroupID)), "--from", from, "--to", p.Name, "--yes", "-o", "json"}
		if took == 0 {
			s.say.command(fmt.Sprintf("group move %d --from %s --to %s   (and %d more)", g.GroupID, from, p.Name, movedGroups-1))
		}
		err := s.during(ctx, func() string { return fmt.Sprintf("%d of %d replicas have moved", took, movedGroups) },
			func(ctx context.Context) error {
				out, code, err := s.flotilla(ctx, nil, args...)
				if err == nil && code != 0 {
					err = fmt.Errorf("group move %d: exit code %d: %s", g.GroupID, code, out)
				}
				return err
			})
		if err != nil {
			return err
		}
		took++
	}
	jobs, err := s.equalAgain(ctx, p, began, func(jobs []api.Job) bool { return len(jobs) >= movedGroups })
	if err != nil {
		return err
	}
	m, err := s.account(ctx, "a fourth node takes replicas over", p, jobs, time.Since(began))
	if err != nil {
		return err
	}
	if groups, err = s.groups(ctx); err != nil {
		return err
	}
	held := 0
	for i := range groups {
		if groups[i].PrimaryNode == p.Name || slices.Contains(groups[i].ReplicaNodes, p.Name) {
			held++
		}
	}
	s.score.check("a fourth node holds what was moved to it", held >= movedGroups && allDone(jobs) && m.verdicts["full"] == movedGroups,
		"%d groups, moved by %s, %s from %s%s", held, m.verdictsText(), size(m.bytes), m.sourcesText(), failures(jobs))
	if err := s.verified(ctx, "with a fourth node"); err != nil {
		return err
	}
	return s.compare(ctx, "simulated points, through "+p.Name, p)
}

// pick gives some groups, spread over all.
func pick(groups []api.Group, n int) (some []api.Group) {
	for i := 0; i < len(groups) && len(some) < n; i += max(1, len(groups)/n) {
		if len(groups[i].ReplicaNodes) > 0 {
			some = append(some, groups[i])
		}
	}
	return some
}
