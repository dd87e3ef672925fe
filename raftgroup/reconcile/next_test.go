package reconcile

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/raftgroup"
)

func id(name string) membership.ServerID {
	return membership.NodeID{Name: name, Incarnation: "00000000"}.Server(0)
}

func voter(name string) raftgroup.Member    { return raftgroup.Member{ID: id(name), Voter: true} }
func nonvoter(name string) raftgroup.Member { return raftgroup.Member{ID: id(name)} }
func there(name string, applied uint64) Wanted {
	return Wanted{ID: id(name), Reachable: true, Applied: applied}
}

func TestNext(t *testing.T) {
	self := there("n1", 1000)
	cases := []struct {
		name string
		view View
		want Step
	}{
		{"AllVote", View{Members: []raftgroup.Member{voter("n1"), voter("n2")}, Wanted: []Wanted{self, there("n2", 0)}}, Step{}},
		{"NewServerWhileTheLogIsWhole", View{FirstLog: 1, Members: []raftgroup.Member{voter("n1")}, Wanted: []Wanted{self, there("n2", 0)}},
			Step{Kind: StepAdd, Target: id("n2")}},
		{"NewServerBehindTheLog", View{FirstLog: 2, Members: []raftgroup.Member{voter("n1")}, Wanted: []Wanted{self, there("n2", 0)}},
			Step{Why: "resync"}},
		{"CatchingUp", View{Members: []raftgroup.Member{voter("n1"), nonvoter("n2")}, Wanted: []Wanted{self, there("n2", 935)}},
			Step{Why: "catching up"}},
		{"CaughtUp", View{Members: []raftgroup.Member{voter("n1"), nonvoter("n2")}, Wanted: []Wanted{self, there("n2", 936)}},
			Step{Kind: StepProve, Target: id("n2")}},
		{"Silent", View{FirstLog: 1, Members: []raftgroup.Member{voter("n1")}, Wanted: []Wanted{self, {ID: id("n2")}}},
			Step{Why: "does not answer"}},
		{"SilentOneDoesNotHoldUpTheNext", View{FirstLog: 1, Members: []raftgroup.Member{voter("n1")}, Wanted: []Wanted{self, {ID: id("n2")}, there("n3", 0)}},
			Step{Kind: StepAdd, Target: id("n3")}},
		{"AddBeforeRemove", View{FirstLog: 1, Members: []raftgroup.Member{voter("n1"), voter("n9")}, Wanted: []Wanted{self, there("n2", 0)}},
			Step{Kind: StepAdd, Target: id("n2")}},
		{"NoRemovalWhileAWantedOneDoesNotVote", View{Members: []raftgroup.Member{voter("n1"), voter("n9"), nonvoter("n2")}, Wanted: []Wanted{self, {ID: id("n2")}}},
			Step{Why: "does not answer"}},
		{"RemoveWhatNobodyWants", View{Members: []raftgroup.Member{voter("n1"), voter("n9"), voter("n2")}, Wanted: []Wanted{self, there("n2", 0)}},
			Step{Kind: StepRemove, Target: id("n9")}},
		{"NeverRemovesItself", View{Members: []raftgroup.Member{voter("n1"), voter("n2")}, Wanted: []Wanted{there("n2", 0)}}, Step{}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.view.Self, c.view.Applied = id("n1"), 1000
			got := Next(c.view)
			if got.Kind != c.want.Kind || got.Target != c.want.Target || !strings.Contains(got.Why, c.want.Why) || c.want.Why == "" && got.Why != "" {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// Following Next to its end reaches exactly the wanted voters, and no step on
// the way leaves fewer voters than there were wanted ones among them.
func TestNextConvergesFromAnyConfiguration(t *testing.T) {
	names := []string{"n1", "n2", "n3", "n4", "n5"}
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 0))
		v := View{Self: id("n1"), FirstLog: 1, Applied: 10, Members: []raftgroup.Member{voter("n1")}, Wanted: []Wanted{there("n1", 10)}}
		for _, n := range names[1:] {
			switch r.IntN(3) {
			case 0:
				v.Members = append(v.Members, voter(n))
			case 1:
				v.Members = append(v.Members, nonvoter(n))
			}
			if r.IntN(2) == 0 {
				v.Wanted = append(v.Wanted, there(n, 10))
			}
		}
		for steps := 0; ; steps++ {
			s := Next(v)
			if s.Kind == StepNone {
				break
			}
			if steps > 20 {
				t.Fatalf("seed %d does not end: %+v", seed, v)
			}
			v.Members = follow(t, v, s)
		}
		for _, w := range v.Wanted {
			if !slices.Contains(v.Members, raftgroup.Member{ID: w.ID, Voter: true}) {
				t.Fatalf("seed %d: %s does not vote in the end: %+v", seed, w.ID, v.Members)
			}
		}
		if len(v.Members) != len(v.Wanted) {
			t.Fatalf("seed %d: members %+v, wanted %+v", seed, v.Members, v.Wanted)
		}
	}
}

func follow(t *testing.T, v View, s Step) []raftgroup.Member {
	t.Helper()
	at := slices.IndexFunc(v.Members, func(m raftgroup.Member) bool { return m.ID == s.Target })
	switch s.Kind {
	case StepAdd:
		return append(slices.Clone(v.Members), raftgroup.Member{ID: s.Target})
	case StepProve:
		changed := slices.Clone(v.Members)
		changed[at].Voter = true
		return changed
	}
	for _, w := range v.Wanted {
		if !slices.Contains(v.Members, raftgroup.Member{ID: w.ID, Voter: true}) {
			t.Fatalf("%s is removed while %s does not vote", s.Target, w.ID)
		}
	}
	return slices.Delete(slices.Clone(v.Members), at, at+1)
}
