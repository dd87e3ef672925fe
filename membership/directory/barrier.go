package directory

import (
	"context"
	"fmt"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/flotilla-db/flotilla/membership"
)

// confirmLeader shows that this node led when it began, and gives the index
// that its table had then. The term check:
//
//	note the term in which we lead and all before it is applied
//	note the table's index
//	ask all other voters for their term, read after the question arrived
//	a majority of voters, ourselves included, answers a term <= the noted
//
// Our own term at the time of the answers is not compared: a deposed leader
// would pass. raft.VerifyLeader counts non-voters and old answers.
func (d *Directory) confirmLeader(ctx context.Context) reply {
	term := d.ready.Load()
	if term == 0 || !d.IsLeader() || d.raft().CurrentTerm() != term {
		return d.failed(raft.ErrNotLeader)
	}
	index := d.Table().Index
	voters, err := d.voters()
	if err != nil {
		return reply{code: codeNotApplied, text: err.Error()}
	}
	agreed := d.countTerms(ctx, voters, term)
	if agreed <= len(voters)/2 {
		return reply{code: codeNotApplied, text: fmt.Sprintf("%d of %d voters confirm the leader", agreed, len(voters))}
	}
	return reply{code: codeOK, index: index}
}

// countTerms asks voters at once and returns as soon as a majority has
// answered well, or all have answered.
func (d *Directory) countTerms(ctx context.Context, voters []membership.ServerID, term uint64) int {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	answers := make(chan bool, len(voters))
	for _, v := range voters {
		if v == d.self {
			answers <- true
			continue
		}
		wg.Go(func() {
			s, err := d.askStanding(ctx, v)
			answers <- err == nil && s.term <= term
		})
	}
	agreed := 0
	for range voters {
		if <-answers {
			agreed++
		}
		if agreed > len(voters)/2 {
			break
		}
	}
	cancel()
	wg.Wait()
	return agreed
}

// Voters lists the nodes that vote in the meta group, as this node knows it.
func (d *Directory) Voters() ([]membership.NodeID, error) {
	servers, err := d.voters()
	nodes := make([]membership.NodeID, len(servers))
	for i, s := range servers {
		nodes[i] = s.NodeID
	}
	return nodes, err
}

// voters lists the voters of the latest configuration.
func (d *Directory) voters() ([]membership.ServerID, error) {
	f := d.raft().GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, fmt.Errorf("read configuration of the meta group: %w", err)
	}
	var out []membership.ServerID
	for _, s := range f.Configuration().Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		id, err := membership.ParseServerID(string(s.ID))
		if err != nil {
			return nil, fmt.Errorf("configuration of the meta group: %w", err)
		}
		out = append(out, id)
	}
	return out, nil
}
