package failover

import (
	"fmt"
	"testing"

	"github.com/flotilla-db/flotilla/membership"
)

func server(name string) membership.ServerID {
	return membership.NodeID{Name: name, Incarnation: "00000000"}.Server(0)
}

var three = []membership.ServerID{server("n1"), server("n2"), server("n3")}

func standing(self string, term, index uint64, change ...func(*Standing)) Standing {
	s := Standing{Group: 7, Self: server(self), Leader: server("n1"), LastTerm: term, LastIndex: index,
		Voter: true, Ready: true, Voters: three}
	for _, c := range change {
		c(&s)
	}
	return s
}

func notReady(s *Standing) { s.Ready = false }
func nonVoter(s *Standing) { s.Voter = false }
func primary(s *Standing)  { s.Primary = true }

func TestOrder(t *testing.T) {
	follows := func(leader string) func(*Standing) {
		return func(s *Standing) { s.Leader = server(leader) }
	}
	cases := []struct {
		name      string
		standings []Standing
		first     string // "" for no order
	}{
		{"NoQuorumNoChoice", []Standing{standing("n2", 3, 9)}, ""},
		{"LongerLogWins", []Standing{standing("n2", 3, 9), standing("n3", 3, 10)}, "n3"},
		{"HigherTermBeatsLongerLog", []Standing{standing("n2", 4, 1), standing("n3", 3, 10)}, "n2"},
		{"PrimaryAmongEqualLogs", []Standing{standing("n2", 3, 9), standing("n3", 3, 9, primary)}, "n3"},
		{"ReadyAmongEqualLogs", []Standing{standing("n2", 3, 9, notReady, primary), standing("n3", 3, 9)}, "n3"},
		{"LongerLogThoughNotReady", []Standing{standing("n2", 3, 10, notReady), standing("n3", 3, 9)}, "n2"},
		{"NonVoterNeverCounts", []Standing{standing("n2", 3, 9), standing("n3", 3, 10, nonVoter)}, ""},
		{"WhoFollowsAnotherLeaderDoesNotCount", []Standing{standing("n2", 3, 9), standing("n3", 3, 9, follows("n2"))}, ""},
		{"TwoStandingsOfOneReplicaAreOne", []Standing{standing("n2", 3, 9), standing("n2", 3, 9)}, ""},
		{"TheDeadLeaderIsNoCandidate", []Standing{standing("n2", 3, 9), standing("n1", 3, 9)}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			order := Order(server("n1"), c.standings)
			switch {
			case c.first == "" && order != nil:
				t.Fatalf("order %v, want none", order)
			case c.first != "" && (len(order) == 0 || order[0] != server(c.first)):
				t.Fatalf("order %v, want %s first", order, c.first)
			}
		})
	}
}

func TestOrderDoesNotDependOnWhoAsks(t *testing.T) {
	a, b := standing("n2", 3, 9), standing("n3", 3, 9)
	if x, y := Order(server("n1"), []Standing{a, b}), Order(server("n1"), []Standing{b, a}); fmt.Sprint(x) != fmt.Sprint(y) {
		t.Fatalf("%v and %v", x, y)
	}
}

func TestGroupsOfADeadLeaderSpreadOverSurvivors(t *testing.T) {
	wins := map[membership.ServerID]int{}
	for g := range uint32(256) {
		inGroup := func(s *Standing) { s.Group = g }
		order := Order(server("n1"), []Standing{standing("n2", 1, 5, inGroup), standing("n3", 1, 5, inGroup)})
		wins[order[0]]++
	}
	for id, n := range wins {
		if n < 96 || n > 160 {
			t.Errorf("%s got %d of 256 groups", id, n)
		}
	}
}
