package raftgroup

import (
	"context"
	"time"

	"github.com/hashicorp/raft"
)

// A candidate that a TimeoutNow has made, ours or that of a transfer, does not
// become a follower again when another one wins its term: Raft lets such a
// candidate hear of the leader and take its entries, but keeps it a candidate
// until its election timer runs out (raft 1.7.3, appendEntries). That is
// harmless as long as the leader lives. When it dies, the candidate goes on
// holding it for the leader, and refuses everybody's pre-vote for its sake, for
// ever (requestPreVote): with two of three voters left, and the longer log on
// the other side, the group never has a leader again. Seen when two voters
// campaigned at a birth and the winner was killed within seconds.
//
// A candidate whose votes were split is stuck as well, for one to two election
// timeouts: a group of a busy cluster would wait 5 to 10 s for its next leader.
//
// And a TimeoutNow does not make a candidate begin anew: it keeps it one.
//
// Hence four rules. No leadership is handed to a candidate. Failover counts a
// candidate among the followers of the leader that it knows, and among those of
// nobody as well: it may have heard that leader in an earlier term. (It takes an
// unchanged term for the sign that no election is under way; and a leader has
// the votes of a majority, who are no candidates of its term, so that lost
// candidates alone are never a quorum against it.) If it is chosen, it steps back before it
// campaigns. And where failover has missed it, the first pre-vote that it
// refuses for a leader that has long been silent makes it forget that leader.

// lostCandidacy reports whether this replica is a candidate that knows a leader.
func (in *instance) lostCandidacy() bool {
	_, known := in.leader()
	return known && in.raft.State() == raft.Candidate
}

func (in *instance) header() raft.RPCHeader {
	id := []byte(in.self.String())
	return raft.RPCHeader{ProtocolVersion: protocolVersion, ID: id, Addr: id}
}

// timeoutNow makes Raft start an election. A candidate starts none, but forgets
// its leader.
func (in *instance) timeoutNow(ctx context.Context) error {
	return in.transport.Deliver(ctx, &raft.TimeoutNowRequest{RPCHeader: in.header()})
}

// stepBack makes a candidate a follower of nobody, in a later term: it is asked
// for a vote by one with an empty log, which it refuses. To raise a term is
// always safe; it would depose a leader that lives.
func (in *instance) stepBack(ctx context.Context, term uint64) error {
	return in.transport.Deliver(ctx, &raft.RequestVoteRequest{RPCHeader: in.header(), Term: term, LeadershipTransfer: true})
}

// forgetLeader lets a lost candidacy end whose leader has been silent for longer
// than a follower would bear. It does not block: Raft's main loop waits for
// watch.
func (in *instance) forgetLeader() {
	if !in.lostCandidacy() || time.Since(in.raft.LastContact()) < in.silence {
		return
	}
	in.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), campaignTimeout)
		defer cancel()
		in.campaigns.Lock()
		defer in.campaigns.Unlock()
		if in.lostCandidacy() && time.Since(in.raft.LastContact()) >= in.silence {
			if err := in.timeoutNow(ctx); err != nil {
				in.log.Debug("a leader that is gone is not forgotten", "err", err)
			}
		}
	})
}
