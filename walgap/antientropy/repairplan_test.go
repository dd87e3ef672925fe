package antientropy

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
	"pgregory.net/rapid"
)

// leafCharge is a charge of a wrong leaf, about which some are right.
func leafCharge(leaf int, good ...string) charge {
	return charge{kind: Data, leaf: &leaves[leaf], verdict: Wrong, good: good, why: fmt.Sprintf("leaf %d", leaf)}
}

func TestRepairIsPlannedFromThoseWhoAreRightAboutAllOfIt(t *testing.T) {
	structure := charge{kind: Metadata, verdict: Wrong, good: []string{"n1", "n4"}, why: "freelist"}
	log := charge{kind: Log, verdict: Unreadable, why: "record 9"}
	mended := charge{kind: Log, verdict: Unreadable, why: "record 8", action: Repaired}
	for name, c := range map[string]struct {
		charges []charge
		blamed  []string
		good    []string
		of      []int // charges that it mends
	}{
		"one leaf":                          {[]charge{leafCharge(1, "n1", "n2")}, nil, []string{"n1", "n2"}, []int{0}},
		"two leaves, one right about both":  {[]charge{leafCharge(1, "n1", "n2"), leafCharge(2, "n2", "n4")}, nil, []string{"n2"}, []int{0, 1}},
		"the other way round":               {[]charge{leafCharge(2, "n2", "n4"), leafCharge(1, "n1", "n2")}, nil, []string{"n2"}, []int{0, 1}},
		"all who are right are blamed":      {[]charge{leafCharge(1, "n1", "n2"), leafCharge(2, "n2")}, []string{"n1", "n2"}, []string{"n2"}, []int{0, 1}},
		"three leaves, two of them by one":  {[]charge{leafCharge(0, "n1"), leafCharge(1, "n2", "n4"), leafCharge(2, "n2")}, nil, []string{"n2"}, []int{1, 2}},
		"who is blamed comes last":          {[]charge{leafCharge(1, "n1", "n2")}, []string{"n1"}, []string{"n2"}, []int{0}},
		"who is blamed is better than none": {[]charge{leafCharge(1, "n1")}, []string{"n1"}, []string{"n1"}, []int{0}},
		"itself gives nothing":              {[]charge{leafCharge(1, "n3", "n2")}, nil, []string{"n2"}, []int{0}},
		"nobody but itself is right":        {[]charge{leafCharge(1, "n3")}, nil, nil, nil},
		"structure and a leaf":              {[]charge{structure, leafCharge(1, "n1", "n2")}, nil, []string{"n1"}, []int{0, 1}},
		"a leaf and the log":                {[]charge{leafCharge(1, "n1"), log}, nil, []string{"n1"}, []int{0, 1}},
		"the log alone":                     {[]charge{log, mended}, nil, nil, []int{0}},
		"disputed, harmless": {[]charge{{kind: Data, leaf: &leaves[0], verdict: Disputed, good: []string{"n1"}},
			{kind: Free, verdict: Harmless, good: []string{"n1"}}}, nil, nil, nil},
	} {
		blamed := map[string]bool{"n3": true}
		for _, n := range c.blamed {
			blamed[n] = true
		}
		r, of := planRepair(&blame{heard: &heard{Member: Member{Node: "n3"}}, charges: c.charges, marked: true}, blamed)
		if !slices.Equal(r.Good, c.good) || !slices.Equal(of, c.of) {
			t.Errorf("%s: %+v mends %v, want %v to mend %v", name, r, of, c.good, c.of)
		}
	}
	if _, of := planRepair(&blame{heard: &heard{Member: Member{Node: "n3"}}, charges: []charge{leafCharge(1, "n1")}}, nil); of != nil {
		t.Error("a replica that could not be marked would be repaired")
	}
}

// Whatever it is charged with: each source is right about all that is copied, nobody copies from itself, what is mended
// and what is copied are the same, and no other source is right about more.
func TestPlannedRepairCopiesNothingWrong(t *testing.T) {
	nodes := []string{"n1", "n2", "n3", "n4", "n5"}
	rapid.Check(t, func(t *rapid.T) {
		self := rapid.SampledFrom(nodes).Draw(t, "self")
		b := &blame{heard: &heard{Member: Member{Node: self}}, marked: true}
		blamed := map[string]bool{self: true}
		for _, n := range nodes {
			blamed[n] = blamed[n] || rapid.Bool().Draw(t, "blamed")
		}
		for i := range rapid.IntRange(0, 8).Draw(t, "charges") {
			on := charge{kind: Data, leaf: &digest.Leaf{Window: int64(i)}, verdict: rapid.SampledFrom([]Verdict{Wrong, Unreadable, Disputed, Harmless}).Draw(t, "verdict")}
			on.good = rapid.Permutation(nodes).Draw(t, "order")[:rapid.IntRange(0, len(nodes)).Draw(t, "good")]
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				on.kind, on.leaf, on.verdict = Metadata, nil, Wrong
			case 1:
				on.kind, on.leaf, on.verdict, on.good = Log, nil, Unreadable, nil
			}
			b.charges = append(b.charges, on)
		}
		r, of := planRepair(b, blamed)
		about := func(node string) (n int) { // charges that a copy from it would mend
			for _, on := range b.charges {
				if !on.own() && on.due(self) && slices.Contains(on.good, node) {
					n++
				}
			}
			return n
		}
		want := map[digest.Leaf]bool{}
		copied, own, structure := 0, false, false
		for _, i := range of {
			on := b.charges[i]
			if on.own() {
				own = true
				continue
			}
			copied++
			if on.leaf == nil {
				structure = true
			} else {
				want[*on.leaf] = true
			}
			for _, n := range r.Good {
				if !slices.Contains(on.good, n) {
					t.Errorf("%s is not right about charge %d: %+v", n, i, r)
				}
			}
		}
		if slices.Contains(r.Good, self) || copied > 0 != (len(r.Good) > 0) {
			t.Errorf("%d charges, copied from %v by %s", copied, r.Good, self)
		}
		if len(r.Leaves) != len(want) || !slices.IsSortedFunc(r.Leaves, digest.Leaf.Compare) || r.Log != own || r.Structure != structure {
			t.Errorf("%+v, want %v", r, want)
		}
		for leaf := range want {
			if !slices.Contains(r.Leaves, leaf) {
				t.Errorf("leaf %v is said to be mended and not copied", leaf)
			}
		}
		for _, n := range nodes {
			if n != self && about(n) > copied {
				t.Errorf("%s is right about %d charges, %d are mended from %v", n, about(n), copied, r.Good)
			}
		}
		if slices.ContainsFunc(r.Good, func(n string) bool { return blamed[n] }) && slices.ContainsFunc(r.Good, func(n string) bool { return !blamed[n] }) {
			t.Errorf("%v give, and some of them are blamed: %v", r.Good, blamed)
		}
	})
}

// Everybody is wrong about something. Each leaf has a majority of its own, or one that can read it alone, and comes from
// nobody else.
func TestAllThreeAreWrongSomewhereAndMended(t *testing.T) {
	for leader := range 3 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 3)
			w.leader = leader
			w.replicas[0].data[leaves[0]] = 77
			w.replicas[0].rotten[leaves[1]] = true
			w.replicas[1].rotten[leaves[1]] = true // n3 alone can read it
			w.replicas[2].data[leaves[2]] = 78
			o := mending
			o.Deep = true
			for range 3 {
				if r := w.check(o); r.Equal {
					break
				}
			}
			for _, h := range w.replicas {
				if !h.right(w.truth) || h.Suspect != nil {
					t.Errorf("n%d leads: %+v", leader+1, h)
				}
			}
			if r := w.check(Options{Deep: true}); !r.Equal || r.Damaged {
				t.Errorf("n%d leads, again: %+v", leader+1, r)
			}
		})
	}
}

// Each of three has another leaf that is wrong, or cannot be read, or is known to be so: no two have one root, and each
// is mended from the other two in one check, though no root is anybody's before the last of them is.
func TestEachOfThreeIsMendedFromTheOthersAtOnce(t *testing.T) {
	for what, damage := range map[string]func(h *replica, leaf int){
		"wrong":        func(h *replica, leaf int) { h.data[leaves[leaf]] = byte(77 + leaf) },
		"lost":         func(h *replica, leaf int) { delete(h.data, leaves[leaf]) },
		"unreadable":   func(h *replica, leaf int) { h.rotten[leaves[leaf]] = true },
		"known as bad": func(h *replica, leaf int) { h.rotten[leaves[leaf]], h.doubts = true, leaves[leaf:leaf+1] },
	} {
		for leader := range 3 {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3)
				w.leader = leader
				for i, h := range w.replicas {
					damage(h, i)
				}
				o := mending
				o.Deep = true
				r := w.check(o)
				if !r.Equal || !r.Repaired || r.FindingsTotal != 3 || w.calls["repair"] != 3 {
					t.Errorf("%s, n%d leads: %d repairs, %+v", what, leader+1, w.calls["repair"], r)
				}
				for _, h := range w.replicas {
					if !h.right(w.truth) || h.Suspect != nil {
						t.Errorf("%s, n%d leads: %+v", what, leader+1, h)
					}
				}
			})
		}
	}
}

// What is right about one leaf is wrong about the other: two repairs, each from who is right about it.
func TestLeavesOfOneReplicaAreMendedFromSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.leader = 2
		w.replicas[0].rotten[leaves[1]] = true
		w.replicas[1].rotten[leaves[0]] = true
		w.replicas[2].rotten[leaves[0]], w.replicas[2].rotten[leaves[1]] = true, true
		o := mending
		o.Deep = true
		if r := w.check(o); !r.Equal || !r.Repaired || r.FindingsTotal != 4 || w.calls["repair"] != 4 {
			t.Errorf("%d repairs, %+v", w.calls["repair"], r)
		}
	})
}

// What only the check after a repair shows is not repaired by it: nobody was accused of that.
func TestWhatALaterCutShowsIsLeftToTheNextCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.replicas[1].data[leaves[0]] = 77
		w.replicas[2].data[leaves[1]] = 78
		w.repaired = func(h *replica) error {
			h.data = maps.Clone(w.truth)
			if w.repaired = nil; h == w.replicas[1] {
				w.replicas[2].data[leaves[2]] = 79
			}
			return nil
		}
		r := w.check(mending)
		if r.Equal || r.Repaired || !r.Passing || r.FindingsTotal != 3 || w.replicas[2].Suspect == nil {
			t.Errorf("%+v", r)
		}
		if r = w.check(mending); !r.Equal || !r.Repaired {
			t.Errorf("again: %+v", r)
		}
	})
}

// A file that was replaced whole is equal to nothing while nobody else can be heard.
func TestARepairThatNobodyConfirmsHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.replicas[1].structure = "freelist"
		w.repaired = func(h *replica) error {
			h.structure = ""
			w.replicas[0].Why, w.replicas[2].Why = "down", "down"
			return nil
		}
		o := mending
		o.Deep = true
		if r := w.check(o); r.Repaired || len(r.Findings) != 1 || r.Findings[0].Action != RepairFailed || w.replicas[1].Suspect == nil {
			t.Errorf("%+v", r)
		}
	})
}

// A node copies by itself what it lacks, and may lead again before its turn for a repair comes: there is nothing to hand over.
func TestAReplicaThatHasHealedAndLeadsIsNotRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.replicas[1].structure = "the file is gone"
		w.fault = func(call, _ string) error {
			w.set(func() {
				if h := w.replicas[1]; call == "members" && h.Suspect != nil {
					h.structure, h.Suspect, w.leader = "", nil, 1
				}
			})
			return nil
		}
		began := time.Now()
		r := w.check(Options{Deep: true, Repair: true})
		if len(r.Findings) != 1 || r.Findings[0].Action != Repaired || w.calls["repair"] > 0 {
			t.Errorf("%d repairs, %+v", w.calls["repair"], r.Findings)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// A repair that waits for others gives up in time, and has no seat among the checks meanwhile.
func TestARepairWaitsForOthersABoundedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.replicas[1].data[leaves[0]], w.replicas[1].data[leaves[1]] = 77, 78
		e, left := w.engine(), 0
		for range DefaultPerNode {
			release, err := e.nodes.take(t.Context(), "n2", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer release()
		}
		o := mending
		o.Seat = NewSeats(1).Try()
		o.Seat.Left = func() { left++ }
		r, err := e.Check(t.Context(), 7, o)
		if took := r.Ended.Sub(r.Began); err != nil || r.Repaired || !r.Passing || r.Findings[0].Action != RepairFailed || took > turnBound+time.Minute || left != 1 {
			t.Errorf("after %v, left %d times: %+v %v", took, left, r, err)
		}
		w.after(r)
		o = Options{Repair: true, Seat: NewSeats(1).Try()}
		o.Seat.Left = func() { t.Error("a check without repairs leaves its seat") }
		w.replicas[1].data = maps.Clone(w.truth)
		w.check(o)
	})
}

// majorityHas: of what most voters hold in a leaf, none holds anything but the truth, and somebody can read it.
func (w *world) majorityHas(leaf digest.Leaf) bool {
	voters, has, reads := 0, 0, 0
	for _, h := range w.replicas {
		if !h.Voter {
			continue
		}
		voters++
		if h.data[leaf] == w.truth[leaf] && h.lineage == "l1" {
			has++
			if !h.rotten[leaf] {
				reads++
			}
		}
	}
	return 2*has > voters && reads > 0
}
