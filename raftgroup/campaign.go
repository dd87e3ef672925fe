package raftgroup

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/hashicorp/raft"
)

const (
	// birthRank is how long each voter of a birth record waits for the one
	// before it, and once more for each birthCrowd births that are under way on
	// this node: with 256 at once a vote takes longer than that to be written
	// and heard of, and two candidates elect nobody for a whole election timeout.
	birthRank  = 100 * time.Millisecond
	birthCrowd = 32
	// birthTerm is the term of a bootstrapped configuration: nobody votes in it.
	birthTerm = 1
	// birthProbe is the pause between two looks at who is there to vote.
	birthProbe = 5 * time.Millisecond
	// birthLimit ends the campaign of a birth; Raft's timers take over.
	birthLimit = 5 * time.Second
	// campaignTimeout bounds the hand-over of a TimeoutNow to our own Raft.
	campaignTimeout = time.Second
)

// campaign starts an election at once, without pre-vote, if this replica is a
// voter and follows exactly that leader (zero: nobody) in that term.
// Sent to a non-voter, a TimeoutNow would depose a healthy leader; sent to a leader, the
// leader itself. Raft checks neither.
func (in *instance) campaign(ctx context.Context, follows membership.ServerID, term uint64) error {
	in.campaigns.Lock()
	defer in.campaigns.Unlock()
	if suffrage, ok := suffrageOf(in.configuration(), in.self); !ok || suffrage != raft.Voter {
		return fmt.Errorf("campaign in group %d: %s is no voter", in.group, in.self)
	}
	leader, _ := in.leader()
	if lost := in.raft.State() == raft.Candidate && follows.IsZero(); leader != follows && !lost {
		return fmt.Errorf("campaign in group %d: the leader is %q, not %q", in.group, leader, follows)
	}
	if now := in.raft.CurrentTerm(); now != term {
		return fmt.Errorf("campaign in group %d: term %d has begun since term %d", in.group, now, term)
	}
	ctx, cancel := context.WithTimeout(ctx, campaignTimeout)
	defer cancel()
	switch state := in.raft.State(); state {
	case raft.Follower:
	case raft.Candidate:
		if err := in.stepBack(ctx, term+1); err != nil {
			return fmt.Errorf("step back in group %d: %w", in.group, err)
		}
	default:
		return fmt.Errorf("campaign in group %d: %s is %s", in.group, in.self, state)
	}
	if err := in.timeoutNow(ctx); err != nil {
		return fmt.Errorf("campaign in group %d: %w", in.group, err)
	}
	return nil
}

// birthCampaign makes the first listed voter that is there lead a new group. A
// voter waits until a majority of the voters has opened the group (an election
// that meets closed doors would be lost for a whole election timeout), then for
// its rank.
func (in *instance) birthCampaign(voters []membership.ServerID) {
	rank := slices.Index(voters, in.self)
	if rank < 0 {
		return
	}
	in.births.Add(1)
	defer in.births.Add(-1)
	ctx, cancel := context.WithTimeout(context.Background(), birthLimit)
	defer cancel()
	in.wg.Go(func() {
		select {
		case <-in.stop:
			cancel()
		case <-ctx.Done():
		}
	})
	for in.awaitsBirth() {
		check := in.joinCheck(birthTerm)
		select {
		case <-check.done:
		case <-ctx.Done():
			return
		}
		if check.result() != TermConfirmed {
			if pause.For(ctx, birthProbe) != nil {
				return
			}
			continue
		}
		// The doors are open. Everybody sees that at about the same time, so the
		// ranks are counted from here: two candidates at once elect nobody.
		crowd := 1 + in.births.Load()/birthCrowd
		if pause.For(ctx, time.Duration(rank)*time.Duration(crowd)*birthRank) != nil {
			return
		}
		if in.awaitsBirth() && in.campaign(ctx, membership.ServerID{}, birthTerm) == nil {
			return
		}
		if pause.For(ctx, birthProbe) != nil {
			return
		}
	}
}

// awaitsBirth reports whether nobody has campaigned yet, as far as known here.
// What comes after the first campaign, lost or won, is not a birth any more.
func (in *instance) awaitsBirth() bool {
	return in.raft.CurrentTerm() <= birthTerm && in.raft.State() == raft.Follower
}
