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

// again is id in a later generation.
func again(name string, generation uint32) membership.ServerID {
	return id(name).NodeID.Server(generation)
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
		{"NewServerOfAGroupWithPoints", View{FirstLog: 1, Points: 1, Members: []raftgroup.Member{voter("n1")}, Wanted: []Wanted{self, there("n2", 0)}},
			Step{Why: "needs a copy: it holds nothing yet", Copy: true, Target: id("n2")}},
		{"NewServerThatHasItsCopy", View{FirstLog: 700, Points: 1, Members: []raftgroup.Member{voter("n1")}, Wanted: []Wanted{self, there("n2", 700)}},
			Step{Kind: StepAdd, Target: id("n2")}},
		{"NewServerThatCopiesNothing", View{FirstLog: 1, Points: 1, Members: []raftgroup.Member{voter("n1")}, Wanted: []Wanted{self, {ID: id("n2"), Reachable: true, NoCopy: true}}},
			Step{Kind: StepAdd, Target: id("n2")}},
		{"TheOneThatNeedsACopyIsToldThoughAnotherIsSilent", View{FirstLog: 5, Members: []raftgroup.Member{voter("n1")}, Wanted: []Wanted{self, there("n2", 0), {ID: id("n3")}}},
			Step{Why: "resync", Copy: true, Target: id("n2")}},
		{"NewServerBehindTheLog", View{FirstLog: 2, Members: []raftgroup.Member{voter("n1")}, Wanted: []Wanted{self, there("n2", 0)}},
			Step{Why: "resync", Copy: true, Target: id("n2")}},
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
		{"ComesBackUnderANewID", View{FirstLog: 1, Members: []raftgroup.Member{voter("n1"), voter("n2")}, Wanted: []Wanted{self, {ID: again("n2", 1), Reachable: true}}},
			Step{Kind: StepAdd, Target: again("n2", 1)}},
		{"ComesBackUnderANewIDWithWhatTheLogHasNoMore", View{FirstLog: 900, Members: []raftgroup.Member{voter("n1"), voter("n2")}, Wanted: []Wanted{self, {ID: again("n2", 1), Reachable: true, Applied: 899}}},
			Step{Why: "under another id than n2.00000000.0, needs a copy", Copy: true, Target: again("n2", 1)}},
		{"ComesBackUnderANewIDWithEnough", View{FirstLog: 900, Members: []raftgroup.Member{voter("n1"), voter("n2")}, Wanted: []Wanted{self, {ID: again("n2", 1), Reachable: true, Applied: 900}}},
			Step{Kind: StepAdd, Target: again("n2", 1)}},
		{"ComesBackUnderAnOlderID", View{FirstLog: 1, Members: []raftgroup.Member{voter("n1"), {ID: again("n2", 1), Voter: true}}, Wanted: []Wanted{self, there("n2", 0)}},
			Step{Why: "set back"}},
		{"NewIDIsProvenWhileTheOldOneVotes", View{Members: []raftgroup.Member{voter("n1"), voter("n2"), {ID: again("n2", 1)}}, Wanted: []Wanted{self, {ID: again("n2", 1), Reachable: true, Applied: 1000}}},
			Step{Kind: StepProve, Target: again("n2", 1)}},
		{"ProofsFailed", View{Members: []raftgroup.Member{voter("n1"), nonvoter("n2")}, Wanted: []Wanted{self, {ID: id("n2"), Reachable: true, Applied: 1000, Unproven: "it differs"}}},
			Step{Why: "it differs"}},
		{"OldIDGoesLast", View{Members: []raftgroup.Member{voter("n1"), voter("n3"), voter("n2"), {ID: again("n2", 1), Voter: true}}, Wanted: []Wanted{self, there("n3", 0), {ID: again("n2", 1), Reachable: true}}},
			Step{Kind: StepRemove, Target: id("n2")}},
		{"OldIDGoesThoughTheNewOneIsSilent", View{Members: []raftgroup.Member{voter("n1"), voter("n3"), voter("n2"), {ID: again("n2", 1), Voter: true}}, Wanted: []Wanted{self, there("n3", 0), {ID: again("n2", 1)}}},
			Step{Kind: StepRemove, Target: id("n2")}},
		{"RemovesTheDeadBeforeTheLiving", View{Members: []raftgroup.Member{voter("n1"), voter("n8"), voter("n9")}, Wanted: []Wanted{self}, Others: []membership.ServerID{id("n8")}},
			Step{Kind: StepRemove, Target: id("n9")}},
		{"NoRemovalThatLeavesNoQuorum", View{Members: []raftgroup.Member{voter("n1"), voter("n2"), voter("n9")}, Wanted: []Wanted{self, {ID: id("n2")}}, Others: []membership.ServerID{id("n9")}},
			Step{Why: "1 of 2 voters answer"}},
		{"NoRemovalWithoutAQuorum", View{Members: []raftgroup.Member{voter("n1"), voter("n2"), voter("n3"), nonvoter("n9")}, Wanted: []Wanted{self, {ID: id("n2")}, {ID: id("n3")}}},
			Step{Why: "1 of 3 voters answer"}},
		{"NeverRemovesItself", View{Members: []raftgroup.Member{voter("n1"), voter("n2")}, Wanted: []Wanted{there("n2", 0)}}, Step{}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.view.Self, c.view.Applied = id("n1"), 1000
			got := Next(c.view)
			if got.Kind != c.want.Kind || got.Copy != c.want.Copy || got.Copy && got.Target != c.want.Target || got.Kind != StepNone && got.Target != c.want.Target || !strings.Contains(got.Why, c.want.Why) || c.want.Why == "" && got.Why != "" {
				t.Fatalf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// Following Next to its end reaches exactly the wanted voters, as far as they
// answer; no step on the way leaves fewer voters than there were wanted ones
// among them, or loses a quorum that answered.
func TestNextConvergesFromAnyConfiguration(t *testing.T) {
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 0))
		v, answers := anyView(r)
		quorum := answering(v.Members, answers)
		last := Step{}
		for steps := 0; ; steps++ {
			if last = Next(v); last.Kind == StepNone {
				break
			}
			if steps > 20 {
				t.Fatalf("seed %d does not end: %+v", seed, v)
			}
			v.Members = follow(t, v, last)
			if now := answering(v.Members, answers); quorum && !now {
				t.Fatalf("seed %d: %+v leaves no quorum: %+v", seed, last, v)
			} else {
				quorum = now
			}
		}
		if last.Why != "" {
			continue // somebody does not answer
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

// anyView makes up a group of up to five nodes, some of which run under a new
// id, some of which do not answer, and some of which nobody wants.
func anyView(r *rand.Rand) (v View, answers map[membership.ServerID]bool) {
	v = View{Self: id("n1"), FirstLog: 1, Applied: 10, Members: []raftgroup.Member{voter("n1")}, Wanted: []Wanted{there("n1", 10)}}
	answers = map[membership.ServerID]bool{id("n1"): true}
	for _, n := range []string{"n2", "n3", "n4", "n5"} {
		for g := range uint32(1 + r.IntN(2)) {
			if is := r.IntN(3); is < 2 {
				v.Members = append(v.Members, raftgroup.Member{ID: again(n, g), Voter: is == 0})
			}
		}
		was, member := newest(v.Members, id(n).NodeID)
		runs := was
		if !member {
			runs = id(n)
		} else if r.IntN(3) == 0 {
			runs = again(n, was.Generation+1)
		}
		answers[runs] = r.IntN(4) > 0
		switch wanted := r.IntN(2) == 0; {
		case wanted && answers[runs]:
			v.Wanted = append(v.Wanted, Wanted{ID: runs, Reachable: true, Applied: 10})
		case wanted && member:
			v.Wanted = append(v.Wanted, Wanted{ID: was})
		case wanted:
			v.Wanted = append(v.Wanted, Wanted{ID: id(n)})
		case answers[runs] && runs == was:
			v.Others = append(v.Others, runs)
		}
	}
	return v, answers
}

// answering reports whether a quorum of the voters answers.
func answering(members []raftgroup.Member, answers map[membership.ServerID]bool) bool {
	voters, live := 0, 0
	for _, m := range members {
		if m.Voter {
			voters++
		}
		if m.Voter && answers[m.ID] {
			live++
		}
	}
	return 2*live > voters
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
