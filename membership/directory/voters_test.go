package directory

import (
	"testing"

	"github.com/flotilla-db/flotilla/membership"
)

func TestNextVoterChange(t *testing.T) {
	voter := func(i int) Member { return Member{ID: nodeID(i).Server(0), Voter: true, Listed: true} }
	ready := func(i int) Member { return Member{ID: nodeID(i).Server(0), Listed: true, CaughtUp: true} }
	replaced := func(m Member) Member { m.Listed, m.Replaced = false, true; return m }
	inZone := func(m Member, zone string) Member { m.Zone = zone; return m }
	lagging := func(m Member) Member { m.CaughtUp = false; return m }
	unlisted := func(m Member) Member { m.Listed = false; return m }
	id := func(i int) membership.ServerID { return nodeID(i).Server(0) }
	for _, c := range []struct {
		name    string
		members []Member
		want    VoterChange
		ok      bool
	}{
		{"OneAlone", []Member{voter(1)}, VoterChange{}, false},
		{"SecondNodeVotes", []Member{voter(1), ready(2)}, VoterChange{ID: id(2)}, true},
		{"ThirdNodeVotes", []Member{voter(1), voter(2), ready(3)}, VoterChange{ID: id(3)}, true},
		{"FourthDoesNot", []Member{voter(1), voter(2), voter(3), ready(4)}, VoterChange{}, false},
		{"WithFiveTwoMoreVote", []Member{voter(1), voter(2), voter(3), ready(5), ready(4)}, VoterChange{ID: id(4)}, true},
		{"SixthDoesNot", []Member{voter(1), voter(2), voter(3), voter(4), voter(5), ready(6)}, VoterChange{}, false},
		{"OneThatLagsWaits", []Member{voter(1), lagging(ready(2))}, VoterChange{}, false},
		{"OneWithoutARowWaits", []Member{voter(1), unlisted(ready(2))}, VoterChange{}, false},
		{"ReplacedOneGoesFirst", []Member{voter(1), replaced(voter(2)), ready(3)}, VoterChange{ID: id(2), Remove: true}, true},
		{"LeaderDoesNotRemoveItself", []Member{replaced(voter(1))}, VoterChange{}, false},
		{"ZoneWithoutAVoterFirst", []Member{inZone(voter(1), "a"), inZone(ready(2), "a"), inZone(ready(3), "b")}, VoterChange{ID: id(3)}, true},
	} {
		got, ok := NextVoterChange(c.members, id(1))
		if ok != c.ok || got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, ok)
		}
	}
}
