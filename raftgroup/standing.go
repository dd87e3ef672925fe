package raftgroup

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/hashicorp/raft"
)

// standing is how a replica stands before leadership is moved to it.
//
// Its frame: version (1 B) | flags (1 B: here, voter, ready) | current term |
// last index | applied index, as unsigned varints.
type standing struct {
	here, voter, ready bool
	currentTerm        uint64
	lastIndex          uint64
	applied            uint64
}

const (
	standingHere = 1 << iota
	standingVoter
	standingReady
)

func (s standing) append(dst []byte) []byte {
	flags := byte(0)
	for _, f := range []struct {
		set bool
		bit byte
	}{{s.here, standingHere}, {s.voter, standingVoter}, {s.ready, standingReady}} {
		if f.set {
			flags |= f.bit
		}
	}
	dst = append(dst, termFrameVersion, flags)
	dst = binary.AppendUvarint(dst, s.currentTerm)
	dst = binary.AppendUvarint(dst, s.lastIndex)
	return binary.AppendUvarint(dst, s.applied)
}

func decodeStanding(b []byte) (standing, error) {
	if len(b) < 2 || b[0] != termFrameVersion {
		return standing{}, fmt.Errorf("standing: %w", errTermFrame)
	}
	flags := b[1]
	r := frameReader{rest: b[2:]}
	s := standing{
		here: flags&standingHere != 0, voter: flags&standingVoter != 0, ready: flags&standingReady != 0,
		currentTerm: r.uvarint(), lastIndex: r.uvarint(), applied: r.uvarint(),
	}
	if r.failed || len(r.rest) > 0 {
		return standing{}, fmt.Errorf("standing: %w", errTermFrame)
	}
	return s, nil
}

func (in *instance) standing(ready bool) standing {
	suffrage, ok := suffrageOf(in.configuration(), in.self)
	return standing{
		here: true, voter: ok && suffrage == raft.Voter, ready: ready,
		currentTerm: in.raft.CurrentTerm(), lastIndex: in.raft.LastIndex(), applied: in.shard.Applied().Index,
	}
}

// Standing is what one replica says of itself in a group whose leader is
// suspected: what failover chooses a candidate by.
type Standing struct {
	Group uint32
	// Self is the replica that speaks, Leader the one that it still follows.
	Self, Leader membership.ServerID
	// LastTerm and LastIndex are those of its last log entry.
	LastTerm, LastIndex uint64
	CurrentTerm         uint64
	// Voter reports whether its latest configuration gives it a vote.
	Voter bool
	// Ready is false for a replica that may not serve (syncing, quarantined):
	// it campaigns only when no ready one can win.
	Ready bool
	// Primary reports whether the assignment prefers it as the leader.
	Primary bool
	// Voters are those of the latest configuration that it knows.
	Voters []membership.ServerID
}

// LedBy lists the local replicas that follow a leader on peer, for failover;
// for the zero NodeID those that know no leader. A candidate is in both lists:
// the leader that it knows may be one of an earlier term (see candidacy.go).
func (h *Host) LedBy(peer membership.NodeID) []Standing {
	nobody := peer == membership.NodeID{}
	var list []Standing
	for _, g := range h.Groups() {
		in, err := g.running()
		if err != nil {
			continue
		}
		leader, _ := in.leader()
		switch state := in.raft.State(); {
		case state == raft.Candidate && nobody:
			list = append(list, g.failoverStanding(in, membership.ServerID{}))
		case (state == raft.Follower || state == raft.Candidate) && leader.NodeID == peer:
			list = append(list, g.failoverStanding(in, leader))
		}
	}
	return list
}

func (g *Group) failoverStanding(in *instance, leader membership.ServerID) Standing {
	c := in.configuration()
	suffrage, ok := suffrageOf(c, in.self)
	lastIndex, lastTerm := in.lastEntry()
	return Standing{
		Group: g.id, Self: in.self, Leader: leader,
		LastTerm: lastTerm, LastIndex: lastIndex, CurrentTerm: in.raft.CurrentTerm(),
		Voter: ok && suffrage == raft.Voter, Ready: g.mayLead(),
		Primary: g.host.isPrimary(g.id), Voters: votersOf(c),
	}
}

// mayLead reports whether a leadership should go to this replica: it may serve
// all it has, and its node neither stops nor lacks room for data.
func (g *Group) mayLead() bool { return g.trusted() && !g.host.closing() && !g.host.noSpace.Load() }

// lastEntry is the end of the log: an entry, or the snapshot record.
func (in *instance) lastEntry() (index, term uint64) {
	var entry raft.Log
	last, err := in.entries.LastIndex()
	if err == nil && last > 0 && in.entries.GetLog(last, &entry) == nil {
		return entry.Index, entry.Term
	}
	record := in.shard.Durable()
	return record.Index, record.Term
}

// Campaign starts an election in a group for failover; see instance.campaign.
// A host that closes does not lead again what it has handed over.
func (h *Host) Campaign(group uint32, leader membership.ServerID, term uint64) error {
	if h.closing() {
		return ErrClosed
	}
	g, ok := h.Group(group)
	if !ok {
		return fmt.Errorf("campaign in group %d: %w", group, ErrUnknownGroup)
	}
	in, err := g.running()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), campaignTimeout)
	defer cancel()
	return in.campaign(ctx, leader, term)
}
