package walgap

import (
	"slices"
	"testing"
)

// What Raft can close is left to Raft, and nothing else is; nothing is replayed onto data that the leader never had.
func TestVerdictIsWhatRaftCanDo(t *testing.T) {
	seen := map[Row]int{}
	n := 4
	if testing.Short() {
		n = 3
	}
	worlds(n, 3, func(w world) {
		l, target := w.reports()
		v := Judge(l, target, Rates{}, Auto)
		seen[v.Row]++
		fail := func(why string) {
			t.Fatalf("%s\nworld %+v\nleader %+v\ntarget %+v\nverdict %+v\nraft %+v", why, w, l, target, v, w.replicate())
		}
		if !v.Decided {
			fail("nothing stands in the way of a verdict")
		}
		// A replica without anything is copied although the log could be replayed: the one choice that is not Raft's.
		if v.Row == Empty {
			if v.Kind != Full || w.applied != 0 || (w.start == 1 && len(w.targetTerms) > 0) {
				fail("it holds something")
			}
			return
		}
		raft := w.replicate()
		switch {
		case raft.caughtUp && w.wrongData():
			fail("the simulation breaks raft's own promise")
		case raft.caughtUp && v.Kind.Copies():
			fail("raft can close this gap, and it is copied")
		case !raft.caughtUp && !v.Kind.Copies():
			fail("raft cannot close this gap, and is left to")
		case v.Kind == None && len(raft.sent) > 0:
			fail("none, and raft sends entries")
		case v.Kind == None && len(raft.log) > 0 && !sameEnd(w, raft):
			fail("none, and the logs end differently")
		case v.Kind == Replay && !lacksFrom(w, raft, v):
			fail("replay of other entries than raft sends")
		case v.Kind == Delta && !target.HasData:
			fail("delta without data")
		}
		if v.Row == Older && w.wrongDataThatIsKnown() {
			fail("diverged data pass for older ones")
		}
	})
	for _, row := range []Row{Empty, Diverged, Level, Connected, Older, Unknown} {
		if seen[row] == 0 {
			t.Errorf("no world of the box is %s: %v", row, seen)
		}
	}
	t.Logf("worlds by row: %v", seen)
}

func sameEnd(w world, raft outcome) bool {
	last := uint64(len(w.leaderTerms))
	return raft.log[last] == termIn(w.leaderTerms, last) && slices.Max(indices(raft.log)) == last
}

// lacksFrom: the entries of the verdict are those that the target took; with a longer tail of its own that conflicts
// none may be missing, and none is then named either (From is behind the leader's last).
func lacksFrom(w world, raft outcome, v Verdict) bool {
	last := uint64(len(w.leaderTerms))
	if v.Entries == 0 {
		return len(raft.sent) == 0 && v.From == last+1 && len(w.targetTerms) > len(w.leaderTerms)
	}
	return len(raft.sent) > 0 && v.From == raft.sent[0] && v.Entries == uint64(len(raft.sent)) && v.From+v.Entries-1 == last
}

func indices(log map[uint64]uint64) []uint64 {
	var all []uint64
	for i := range log {
		all = append(all, i)
	}
	return all
}

// wrongDataThatIsKnown: the leader can see that the target applied something else.
func (w world) wrongDataThatIsKnown() bool {
	last := uint64(len(w.leaderTerms))
	if w.applied > last {
		return true
	}
	known := w.applied >= w.first || w.applied == w.record || w.applied == 0
	return known && termIn(w.leaderTerms, w.applied) != termIn(w.targetTerms, w.applied)
}
