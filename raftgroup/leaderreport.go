package raftgroup

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/storage"
)

// LeaderReport is what a leader says of its log before a verdict.
type LeaderReport struct {
	Group   uint32
	Server  membership.ServerID
	Lineage string
	Term    uint64
	// Committed: its FSM has applied a command of its own term.
	Committed bool
	// CanCommit: a quorum of the voters, without the asker, answers and takes
	// entries from this log.
	CanCommit   bool
	First, Last uint64 // of its log; First = Last+1 when it is empty
	Terms       []TermRun
	Applied     storage.Position
	// Durable is what the shard's file holds, and what List gives unless a record
	// is held.
	Durable storage.Durable
	// Held is the record that is held for a job; Index 0: none is.
	Held   storage.Position
	Points uint64
	Bytes  int64
	Voters []membership.ServerID
	// Configuration is the index of the latest applied configuration.
	Configuration uint64
}

// LeaderReport is ErrNotLeader on a follower. The asker is the target of the
// verdict: whether a cut can commit is told without its vote; zero: with all.
func (g *Group) LeaderReport(ctx context.Context, asker membership.ServerID) (LeaderReport, error) {
	in, err := g.running()
	if err != nil {
		return LeaderReport{}, err
	}
	term, ok := in.serves()
	if !ok {
		return LeaderReport{}, in.notLeading()
	}
	r := LeaderReport{
		Group: g.id, Server: in.self, Lineage: in.lineage, Term: term,
		Durable: in.shard.Durable(), Voters: votersOf(in.configuration()),
	}
	if r.First, r.Last, r.Terms, err = spanOf(in.entries, in.shard.Applied().Index); err != nil {
		return LeaderReport{}, fmt.Errorf("report of leader of group %d: %w", g.id, err)
	}
	r.CanCommit = g.canCommit(ctx, in, asker, r.First)
	committed, _ := in.fsm.appliedTerm() // after the question, which takes time
	r.Committed = committed == term
	stats := in.shard.Stats()
	r.Applied, r.Points, r.Bytes = stats.Applied, stats.Points, stats.Bytes
	_, r.Configuration = in.shard.Configuration()
	if h := in.records.current(); h != nil {
		r.Held = h.at
	}
	if now, ok := in.serves(); !ok || now != term {
		return LeaderReport{}, in.notLeading()
	}
	return r, nil
}

// canCommit asks the voters but the asker whether they are there, and whether
// this log reaches theirs.
func (g *Group) canCommit(ctx context.Context, in *instance, asker membership.ServerID, first uint64) bool {
	voters := votersOf(in.configuration())
	gaps := in.gaps.standing()
	takes := make([]bool, len(voters))
	var wg sync.WaitGroup
	for i, v := range voters {
		switch {
		case v == asker:
		case v == in.self:
			takes[i] = true
		case slices.ContainsFunc(gaps, func(gap Gap) bool { return gap.Peer == v }):
		default:
			wg.Go(func() {
				s, err := g.askStanding(ctx, in, v)
				takes[i] = err == nil && s.here && s.lastIndex+1 >= first
			})
		}
	}
	wg.Wait()
	n := 0
	for _, t := range takes {
		if t {
			n++
		}
	}
	return n > len(voters)/2
}
