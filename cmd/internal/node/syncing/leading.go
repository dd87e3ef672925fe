package syncing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/walgap"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// leading answers the replicas of groups that this node leads: theirs and its own.
type leading struct{ config *Config }

// led finds a group that is led here, for the calls of a job.
func (l *leading) led(group uint32) (resync.Led, error) {
	g, err := l.config.Group(group)
	if err != nil || !g.IsLeader() {
		return nil, errors.Join(resync.ErrNotLeader, err)
	}
	return ledGroup{l.config, g}, nil
}

// answerVerdict judges a replica of another node, or of this one.
func (l *leading) answerVerdict(ctx context.Context, _ membership.NodeID, request []byte) ([]byte, error) {
	var ask verdictAsk
	if err := json.Unmarshal(request, &ask); err != nil {
		return nil, fmt.Errorf("question for a verdict: %w", err)
	}
	g, err := l.config.Group(ask.Target.Group)
	if err != nil {
		return nil, err
	}
	if !g.IsLeader() {
		return nil, resync.ErrNotLeader
	}
	led := ledGroup{l.config, g}
	report, err := led.Report(ctx, ask.Server)
	if err != nil {
		return nil, err
	}
	a := verdictAnswer{
		Verdict: walgap.Judge(report.Leader, ask.Target, ask.Rates, ask.Mode), Leader: g.Self(), Last: report.Last, Points: report.Points,
		Spare: l.spare(g, ask.Server), Election: onlyElection(report.Leader, ask.Target) || writtenSince(report.Leader, g.LedFor(), ask.Target, ask.Ago),
	}
	if a.Verdict.Decided && !a.Verdict.Kind.Copies() {
		l.lookAtNewcomer(g, ask.Server)
	}
	for _, s := range report.Sources {
		a.Sources = append(a.Sources, s.Server.Name)
	}
	return json.Marshal(a)
}

// lookAtNewcomer has reconcile look at a group whose new replica has just shown
// that it is open: it would learn of it at its next look only.
func (l *leading) lookAtNewcomer(g *raftgroup.Group, server membership.ServerID) {
	members, _, err := g.Members()
	isServer := func(s raftgroup.Member) bool { return s.ID == server }
	if err == nil && !slices.ContainsFunc(members, isServer) {
		l.config.Look(g.ID())
	}
}

// spare is how many live voters a group has beyond a quorum, without one.
func (l *leading) spare(g *raftgroup.Group, without membership.ServerID) int {
	members, _, err := g.Members()
	if err != nil {
		return 0
	}
	voters, live := 0, 0
	for _, s := range members {
		if !s.Voter {
			continue
		}
		voters++
		if s.ID != without && l.config.Up(s.ID.NodeID) {
			live++
		}
	}
	return live - (voters/2 + 1)
}

// answerCopied is told that a replica has its copy.
func (l *leading) answerCopied(_ context.Context, _ membership.NodeID, request []byte) ([]byte, error) {
	group, err := decodeGroup(request)
	if err == nil {
		l.config.Look(group)
	}
	return nil, err
}
