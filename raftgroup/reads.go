package raftgroup

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/hashicorp/raft"
)

const (
	// readRetryFirst and readRetryMax are the pauses between two checks of a
	// read whose voters did not confirm: an election is under way, or a peer is
	// being redialled.
	readRetryFirst = 5 * time.Millisecond
	readRetryMax   = 100 * time.Millisecond
)

// readGate lets the readers of one group share a check of its leader's term.
type readGate struct {
	lanes *termLanes

	mu      sync.Mutex
	current *termCheck // guarded by mu; the last one begun
}

// barrier returns nil when this replica led at some moment after the call and
// its FSM had applied a command of its term: what the shard then holds includes
// every write that was acked before the call.
func (in *instance) barrier(ctx context.Context) error {
	wait := readRetryFirst
	for {
		term, ok := in.leads()
		if !ok || in.held() {
			return in.notLeading()
		}
		if err := in.awaitOwnTerm(ctx, term); err != nil {
			return err
		}
		if now, ok := in.leads(); !ok || now != term {
			continue
		}
		check := in.joinCheck(term)
		select {
		case <-check.done:
		case <-ctx.Done():
			return fmt.Errorf("read of group %d: %w: %w", in.group, ErrNoQuorum, context.Cause(ctx))
		}
		if check.result() == TermConfirmed {
			return nil
		}
		if err := pause.For(ctx, wait); err != nil {
			return fmt.Errorf("read of group %d: %w: %w", in.group, ErrNoQuorum, err)
		}
		wait = min(2*wait, readRetryMax)
	}
}

// awaitOwnTerm waits until the FSM has applied a command of the term in which
// this replica leads; it proposed one when the term began.
func (in *instance) awaitOwnTerm(ctx context.Context, term uint64) error {
	for {
		applied, changed := in.fsm.appliedTerm()
		if applied == term {
			return nil
		}
		if now, ok := in.leads(); !ok || now != term {
			return in.notLeading()
		}
		timer := time.NewTimer(readRetryMax) // leadership may end without a command
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("leader of group %d has applied nothing of its term: %w: %w", in.group, ErrNoQuorum, context.Cause(ctx))
		}
		timer.Stop()
	}
}

func (in *instance) notLeading() error {
	leader, _ := in.leader()
	if leader == in.self {
		leader = membership.ServerID{} // between two states
	}
	return ErrNotLeader{Leader: leader}
}

// joinCheck gives a check that asks nobody before this call.
func (in *instance) joinCheck(term uint64) *termCheck {
	in.reads.mu.Lock()
	defer in.reads.mu.Unlock()
	if c := in.reads.current; c != nil && c.joinable(term) {
		return c
	}
	// The latest configuration, committed or not. Changes come one at a time, so
	// a majority of it meets every majority that can have elected a newer leader.
	configuration := in.configuration()
	voters := 0
	selfVotes := false
	var queries []termQuery
	for _, s := range configuration.Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		id, err := membership.ParseServerID(string(s.ID))
		if err != nil {
			continue // counts as a voter that cannot be asked
		}
		if id == in.self {
			selfVotes = true
			continue
		}
		queries = append(queries, termQuery{to: id.NodeID, question: termQuestion{
			group: in.group, generation: id.Generation, lineage: in.lineage,
		}})
	}
	c := newTermCheck(term, voters, selfVotes)
	for i := range queries {
		queries[i].check = c
	}
	in.reads.current = c
	in.reads.lanes.ask(queries)
	return c
}
