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
	// firstVoters vote as soon as they have caught up: without them the group
	// survives nothing.
	firstVoters = 3
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
	Up       bool // it answers now
	Steady   bool // it has answered without a break for steadyAfter
	Gone     bool // it has not answered for goneAfter
	CaughtUp bool // it answers and has applied nearly all
}

// VoterChange is the next step of the meta group's configuration.
type VoterChange struct {
	ID   membership.ServerID
	Step VoterStep
}

// VoterStep is what a VoterChange does.
type VoterStep uint8

// The steps.
const (
	Promote VoterStep = iota + 1 // a server without a vote gets one
	Demote                       // a voter loses its vote and stays a server
	Remove                       // a server goes
)

// String gives the step's word.
func (s VoterStep) String() string {
	return [...]string{"none", "promote", "demote", "remove"}[s]
}

// voterTarget is how many voters a meta group of so many nodes should have.
// Two nodes both vote: durable on two, available on two. Four would bear no
// more failures than three.
func voterTarget(nodes int) int {
	switch {
	case nodes < firstVoters:
		return nodes
	case nodes < MaxVoters:
		return firstVoters
	}
	return MaxVoters
}

// NextVoterChange decides one step. A server whose incarnation was replaced
// goes. Where voters that are there are missing, a server that has caught up
// becomes one, in the zone with fewest: that replaces a voter that is gone
// before it loses its vote. A voter that is gone loses its vote where the
// others then bear one failure more, and never below firstVoters. Nothing is
// decided that would leave fewer voters up than a majority.
func NextVoterChange(members []Member, leader membership.ServerID) (VoterChange, bool) {
	members = slices.Clone(members)
	slices.SortFunc(members, func(a, b Member) int { return a.ID.Compare(b.ID) })
	for _, m := range members {
		if m.Replaced && m.ID != leader {
			return VoterChange{ID: m.ID, Step: Remove}, true
		}
	}
	c := countVoters(members)
	if c.mayGrow() {
		if id, ok := nextVoter(members, c); ok {
			return VoterChange{ID: id, Step: Promote}, true
		}
	}
	if c.mayShrink() {
		for _, m := range members {
			if m.Voter && m.Gone && m.ID != leader {
				return VoterChange{ID: m.ID, Step: Demote}, true
			}
		}
	}
	return VoterChange{}, false
}

// census counts what NextVoterChange decides by.
type census struct {
	voters, up, gone int // of those that vote
	there            int // nodes that could vote: voters that are not gone, and candidates
}

func countVoters(members []Member) census {
	var c census
	for _, m := range members {
		if m.Voter {
			c.voters++
			if m.Up {
				c.up++
			}
			if m.Gone {
				c.gone++
			}
		}
	}
	for _, m := range members {
		if m.Listed && (m.Voter && !m.Gone || m.candidate(c.voters)) {
			c.there++
		}
	}
	return c
}

// candidate reports whether a server may get a vote once it has caught up. One
// that has only just come may go again: then the group would have a voter that
// is down, and bear less than before.
func (m Member) candidate(voters int) bool {
	return !m.Voter && m.Listed && m.Up && (voters < firstVoters || m.Steady)
}

// able reports whether the voters that are up can decide anything.
func (c census) able() bool { return c.up >= majority(c.voters) }

// mayGrow reports whether a voter is missing. One more that is up leaves a
// majority up.
func (c census) mayGrow() bool { return c.able() && c.voters-c.gone < voterTarget(c.there) }

// mayShrink reports whether the voters that are gone should lose their votes,
// one after the other: of an even number one vote less is one failure more that
// the others bear, of an odd number two.
func (c census) mayShrink() bool {
	needed := 1 + c.voters%2
	return c.gone >= needed && c.voters-needed >= firstVoters && c.able()
}

func majority(voters int) int { return voters/2 + 1 }

// nextVoter chooses among the candidates that have caught up.
func nextVoter(members []Member, c census) (membership.ServerID, bool) {
	inZone := map[string]int{}
	for _, m := range members {
		if m.Voter && !m.Gone {
			inZone[m.Zone]++
		}
	}
	best := -1
	for i, m := range members {
		if m.candidate(c.voters) && m.CaughtUp && (best < 0 || inZone[m.Zone] < inZone[members[best].Zone]) {
			best = i
		}
	}
	if best < 0 {
		return membership.ServerID{}, false
	}
	return members[best].ID, true
}

// changeVoters takes the next step, if there is one.
func (d *Directory) changeVoters(ctx context.Context, seen *presence) {
	members, err := d.members()
	if err != nil {
		d.logger.Warn("cannot read the configuration of the meta group", "error", err)
		return
	}
	seen.look(members, d.isUp)
	if c := countVoters(members); c.mayGrow() {
		d.judgeLag(ctx, members, c.voters)
	}
	change, ok := NextVoterChange(members, d.self)
	prev := d.Table().configIndex
	if !ok || prev == unknownIndex {
		return
	}
	in := d.raft()
	if err := d.await(ctx, in, in.propose(change, prev)); err != nil {
		d.logger.Warn("the configuration of the meta group did not change", "server", change.ID, "step", change.Step, "error", err)
		return
	}
	d.logger.Info("the configuration of the meta group changed", "server", change.ID, "step", change.Step)
	d.sendNudge()
}

func (in *instance) propose(change VoterChange, prev uint64) raft.IndexFuture {
	id, addr := raft.ServerID(change.ID.String()), raft.ServerAddress(change.ID.String())
	switch change.Step {
	case Remove:
		return in.RemoveServer(id, prev, configTimeout)
	case Demote:
		return in.DemoteVoter(id, prev, configTimeout)
	}
	return in.AddVoter(id, addr, prev, configTimeout)
}

func (d *Directory) isUp(id membership.ServerID) bool { return id == d.self || d.cfg.Alive(id.NodeID) }

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

// withUp says of each member whether it answers now.
func (d *Directory) withUp(members []Member) []Member {
	for i := range members {
		members[i].Up = d.isUp(members[i].ID)
	}
	return members
}

// judgeLag asks the candidates where they stand, one after the other: there
// are few, and rarely any.
func (d *Directory) judgeLag(ctx context.Context, members []Member, voters int) {
	committed := d.raft().CommitIndex()
	for i := range members {
		m := &members[i]
		if !m.candidate(voters) {
			continue
		}
		ask, cancel := context.WithTimeout(ctx, standingWait)
		s, err := d.askStanding(ask, m.ID)
		cancel()
		m.CaughtUp = err == nil && s.applied+promoteLag >= committed
	}
}
