package directory

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/flotilla-db/flotilla/membership"
)

const (
	// MaxVoters is how far the meta group grows.
	MaxVoters = 5
	// promoteLag is how many entries a new voter may be behind.
	promoteLag    = 64
	standingWait  = time.Second
	configTimeout = 2 * time.Second
	unknownIndex  = 0 // of a configuration: raft would take it for "do not check"
)

// Member is one server of the meta group, as the leader sees it.
type Member struct {
	ID       membership.ServerID
	Zone     string
	Voter    bool
	Listed   bool // its node has a row in the table, of this incarnation
	Replaced bool // another incarnation has taken its node's places
	CaughtUp bool // it answers and has applied nearly all
}

// VoterChange is the next step of the meta group's configuration.
type VoterChange struct {
	ID     membership.ServerID
	Remove bool // else: make it a voter
}

// voterTarget is how many voters a meta group of so many nodes should have.
// Two nodes both vote: durable on two, available on two. Four would bear no
// more failures than three.
func voterTarget(nodes int) int {
	switch {
	case nodes < 3:
		return nodes
	case nodes < MaxVoters:
		return 3
	}
	return MaxVoters
}

// NextVoterChange decides one step: a server whose incarnation was replaced
// goes; where voters are missing, a server that has caught up becomes one, in
// the zone with fewest voters.
func NextVoterChange(members []Member, leader membership.ServerID) (VoterChange, bool) {
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b Member) int { return a.ID.Compare(b.ID) })
	for _, m := range members {
		if m.Replaced && m.ID != leader {
			return VoterChange{ID: m.ID, Remove: true}, true
		}
	}
	if votersMissing(members) <= 0 {
		return VoterChange{}, false
	}
	inZone := map[string]int{}
	for _, m := range members {
		if m.Voter {
			inZone[m.Zone]++
		}
	}
	best := -1
	for i, m := range members {
		if !m.Voter && m.Listed && m.CaughtUp && (best < 0 || inZone[m.Zone] < inZone[members[best].Zone]) {
			best = i
		}
	}
	if best < 0 {
		return VoterChange{}, false
	}
	return VoterChange{ID: members[best].ID}, true
}

func votersMissing(members []Member) int {
	listed, voters := 0, 0
	for _, m := range members {
		if m.Listed {
			listed++
		}
		if m.Voter {
			voters++
		}
	}
	return voterTarget(listed) - voters
}

// growVoters takes the next step, if there is one.
func (d *Directory) growVoters(ctx context.Context) {
	members, err := d.members()
	if err != nil {
		d.logger.Warn("cannot read the configuration of the meta group", "error", err)
		return
	}
	if votersMissing(members) > 0 {
		d.judgeLag(ctx, members)
	}
	change, ok := NextVoterChange(members, d.self)
	prev := d.Table().configIndex
	if !ok || prev == unknownIndex {
		return
	}
	id, addr := raft.ServerID(change.ID.String()), raft.ServerAddress(change.ID.String())
	var f raft.IndexFuture
	if change.Remove {
		f = d.raft().RemoveServer(id, prev, configTimeout)
	} else {
		f = d.raft().AddVoter(id, addr, prev, configTimeout)
	}
	if err := d.await(ctx, f); err != nil {
		d.logger.Warn("the configuration of the meta group did not change", "server", change.ID, "remove", change.Remove, "error", err)
		return
	}
	d.logger.Info("the configuration of the meta group changed", "server", change.ID, "remove", change.Remove)
	d.sendNudge()
}

// members gathers the configuration and what the table knows of it.
func (d *Directory) members() ([]Member, error) {
	f := d.raft().GetConfiguration()
	if err := f.Error(); err != nil {
		return nil, err
	}
	t := d.Table()
	var out []Member
	for _, s := range f.Configuration().Servers {
		id, err := membership.ParseServerID(string(s.ID))
		if err != nil {
			return nil, err
		}
		node, listed := t.Node(id.NodeID)
		out = append(out, Member{
			ID: id, Zone: node.Zone, Voter: s.Suffrage == raft.Voter,
			Listed: listed, Replaced: t.Replaced(id.NodeID),
		})
	}
	return out, nil
}

// judgeLag asks the candidates where they stand, one after the other: there
// are few, and rarely any.
func (d *Directory) judgeLag(ctx context.Context, members []Member) {
	committed := d.raft().CommitIndex()
	for i := range members {
		m := &members[i]
		if m.Voter || !m.Listed || !d.cfg.Alive(m.ID.NodeID) {
			continue
		}
		ask, cancel := context.WithTimeout(ctx, standingWait)
		s, err := d.askStanding(ask, m.ID)
		cancel()
		m.CaughtUp = err == nil && s.applied+promoteLag >= committed
	}
}
