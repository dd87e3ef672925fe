package antientropy

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/flotilla-db/flotilla/storage/digest"
	"pgregory.net/rapid"
)

var here = Place{"l1", 40}

func content(k byte) digest.LeafDigest {
	if k == 0 {
		return digest.LeafDigest{} // no such leaf
	}
	return digest.LeafDigest{ID: digest.ID{k}, Points: uint64(k), Bytes: 100}
}

func says(node string, k byte) Opinion {
	return Opinion{Node: node, Voter: true, Stance: Says, Place: here, Content: content(k)}
}
func blind(node string) Opinion {
	return Opinion{Node: node, Voter: true, Stance: Blind, Place: here}
}
func away(node string) Opinion { return Opinion{Node: node, Voter: true} }
func elsewhere(node string, index uint64, k byte) Opinion {
	o := says(node, k)
	o.Place.Index = index
	return o
}
func learner(o Opinion) Opinion { o.Voter = false; return o }

func TestJudgeTable(t *testing.T) {
	list := func(nodes ...string) []string { return nodes }
	for name, c := range map[string]struct {
		opinions                          []Opinion
		good, wrong, unreadable, disputed []string
		majority                          bool
	}{
		"all equal":                       {[]Opinion{says("a", 1), says("b", 1), says("c", 1)}, list("a", "b", "c"), nil, nil, nil, true},
		"the odd one":                     {[]Opinion{says("a", 1), says("b", 2), says("c", 1)}, list("a", "c"), list("b"), nil, nil, true},
		"nobody has the leaf but one":     {[]Opinion{says("a", 0), says("b", 2), says("c", 0)}, list("a", "c"), list("b"), nil, nil, true},
		"one lost the leaf":               {[]Opinion{says("a", 1), says("b", 0), says("c", 1)}, list("a", "c"), list("b"), nil, nil, true},
		"one cannot read":                 {[]Opinion{says("a", 1), blind("b"), says("c", 1)}, list("a", "c"), nil, list("b"), nil, true},
		"one wrong, one cannot read":      {[]Opinion{says("a", 1), blind("b"), says("c", 2)}, nil, nil, list("b"), list("a", "c"), false},
		"two cannot read":                 {[]Opinion{says("a", 1), blind("b"), blind("c")}, list("a"), nil, list("b", "c"), nil, false},
		"nobody can read":                 {[]Opinion{blind("a"), blind("b"), blind("c")}, nil, nil, list("a", "b", "c"), nil, false},
		"one cannot read, one is missing": {[]Opinion{says("a", 1), blind("b"), away("c")}, list("a"), nil, list("b"), nil, false},
		"one of five says, three are missing": {
			[]Opinion{says("a", 1), blind("b"), away("c"), away("d"), away("e")}, nil, nil, list("b"), nil, false},
		"all different":                  {[]Opinion{says("a", 1), says("b", 2), says("c", 3)}, nil, nil, nil, list("a", "b", "c"), false},
		"two replicas":                   {[]Opinion{says("a", 1), says("b", 2)}, nil, nil, nil, list("a", "b"), false},
		"two replicas, one cannot read":  {[]Opinion{says("a", 1), blind("b")}, list("a"), nil, list("b"), nil, false},
		"one replica":                    {[]Opinion{says("a", 1)}, list("a"), nil, nil, nil, true},
		"one replica that cannot read":   {[]Opinion{blind("a")}, nil, nil, list("a"), nil, false},
		"two equal, one missing":         {[]Opinion{says("a", 1), says("b", 1), away("c")}, list("a", "b"), nil, nil, nil, true},
		"two differ, one missing":        {[]Opinion{says("a", 1), says("b", 2), away("c")}, nil, nil, nil, list("a", "b"), false},
		"only one is there":              {[]Opinion{says("a", 1), away("b"), away("c")}, nil, nil, nil, nil, false},
		"the odd one stands elsewhere":   {[]Opinion{says("a", 1), says("b", 1), elsewhere("c", 41, 2)}, list("a", "b"), nil, nil, nil, true},
		"a majority, but at two indices": {[]Opinion{says("a", 1), says("b", 2), elsewhere("c", 41, 1)}, nil, nil, nil, list("a", "b"), false},
		"a learner is wrong":             {[]Opinion{says("a", 1), says("b", 1), learner(says("c", 2))}, list("a", "b"), list("c"), nil, nil, true},
		"learners are no majority":       {[]Opinion{says("a", 1), learner(says("b", 2)), learner(says("c", 2))}, list("a"), list("b", "c"), nil, nil, true},
		"a learner does not outvote":     {[]Opinion{says("a", 1), says("b", 2), learner(says("c", 2))}, nil, nil, nil, list("a", "b", "c"), false},
		"only a learner can read":        {[]Opinion{blind("a"), blind("b"), learner(says("c", 1))}, nil, nil, list("a", "b"), nil, false},
		"two against two against one": {
			[]Opinion{says("a", 1), says("b", 1), says("c", 2), says("d", 2), says("e", 3)}, nil, nil, nil, list("a", "b", "c", "d", "e"), false},
		"three against one of five": {
			[]Opinion{says("a", 2), says("b", 1), away("c"), says("d", 1), says("e", 1)}, list("b", "d", "e"), list("a"), nil, nil, true},
		"two of five agree, three are missing": {
			[]Opinion{says("a", 1), says("b", 1), away("c"), away("d"), away("e")}, nil, nil, nil, nil, false},
	} {
		r := Judge(here, c.opinions)
		want := Ruling{Majority: c.majority, Good: c.good, Wrong: c.wrong, Unreadable: c.unreadable, Disputed: c.disputed}
		if len(c.good) > 0 {
			want.Right = c.opinions[slices.IndexFunc(c.opinions, func(o Opinion) bool { return o.Node == c.good[0] })].Content
		}
		if !reflect.DeepEqual(r, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, r, want)
		}
	}
}

// box calls visit with every world of up to five replicas, each of which is missing, cannot read, says one of the
// contents 0 to 2, or says something at another index or of another lineage; and each a voter or not.
func box(visit func([]Opinion)) {
	var kinds []Opinion
	for k := range byte(3) {
		kinds = append(kinds, says("", k))
	}
	kinds = append(kinds, away(""), blind(""), elsewhere("", 41, 1), elsewhere("", 39, 0))
	foreign := says("", 1)
	foreign.Place.Lineage = "l2"
	kinds = append(kinds, foreign)
	names := []string{"a", "b", "c", "d", "e"}
	var world []Opinion
	size := 0
	var fill func(n int)
	fill = func(n int) {
		if n == 0 {
			visit(world)
			return
		}
		for _, k := range kinds {
			for _, voter := range []bool{true, false} {
				if !voter && size == len(names) && len(world) > 0 {
					continue // of five, only the first may be none
				}
				k.Node, k.Voter = names[len(world)], voter
				world = append(world, k)
				fill(n - 1)
				world = world[:len(world)-1]
			}
		}
	}
	for size = 1; size <= len(names); size++ {
		fill(size)
	}
}

// broken says which rule a ruling breaks, if the voters that say `truth` here or are missing are the healthy ones.
func broken(opinions []Opinion, r Ruling, truth digest.LeafDigest) string {
	voters, healthy, present := 0, 0, 0
	for _, o := range opinions {
		if !o.Voter {
			continue
		}
		voters++
		switch {
		case o.at(here) == Says && o.Content == truth:
			healthy, present = healthy+1, present+1
		case o.at(here) == Missing:
			healthy++
		}
	}
	for i, o := range opinions {
		in := 0
		for _, l := range [][]string{r.Good, r.Wrong, r.Unreadable, r.Disputed} {
			if slices.Contains(l, o.Node) {
				in++
			}
		}
		blamed := slices.Contains(r.Wrong, o.Node) || slices.Contains(r.Disputed, o.Node)
		switch {
		case in > 1:
			return fmt.Sprintf("%d is in two lists", i)
		case o.at(here) == Missing && in > 0:
			return fmt.Sprintf("%d is missing, and judged", i)
		case o.at(here) == Blind && !slices.Contains(r.Unreadable, o.Node):
			return fmt.Sprintf("%d cannot read, and that is not said", i)
		case o.at(here) == Says && o.Content != r.Right && slices.Contains(r.Good, o.Node):
			return fmt.Sprintf("%d is good with another content", i)
		case 2*present > voters && blamed && o.at(here) == Says && o.Content == truth:
			return fmt.Sprintf("%d is of the healthy majority, and blamed", i)
		case 2*present > voters && o.at(here) == Says && o.Content != truth && !slices.Contains(r.Wrong, o.Node):
			return fmt.Sprintf("%d is not blamed by a healthy majority that is there", i)
		}
	}
	switch {
	case 2*healthy > voters && len(r.Good) > 0 && r.Right != truth && len(r.Wrong)+len(r.Unreadable) > 0:
		return "what a healthy majority does not hold would be copied"
	case len(r.Wrong) > 0 && !r.Majority:
		return "somebody is wrong without a majority"
	case len(r.Wrong) > 0 && len(r.Good) == 0:
		return "somebody is wrong, and nobody is right"
	case len(r.Disputed) > 0 && len(r.Good)+len(r.Wrong) > 0:
		return "disputed and decided"
	}
	return ""
}

// A healthy majority is never blamed and nothing but what it holds is copied; nobody is blamed for being elsewhere. In
// every world of up to five replicas. A missing replica may be a healthy one, which is what makes it hard.
func TestHealthyMajorityNeverLoses(t *testing.T) {
	worlds := 0
	box(func(opinions []Opinion) {
		worlds++
		r := Judge(here, opinions)
		for k := range byte(4) {
			if why := broken(opinions, r, content(k)); why != "" {
				t.Fatalf("truth %d: %s\n%+v\n%+v", k, why, opinions, r)
			}
		}
		equal := !slices.ContainsFunc(opinions, func(o Opinion) bool {
			return o.Stance != Says || o.Place != here || o.Content != opinions[0].Content
		})
		if AllEqual(here, opinions) != equal {
			t.Fatalf("equal: %v, and AllEqual says the contrary\n%+v", equal, opinions)
		}
	})
	if worlds < 1<<17 {
		t.Errorf("%d worlds", worlds)
	}
}

func drawOpinions(rt *rapid.T) []Opinion {
	n := rapid.IntRange(1, 9).Draw(rt, "replicas")
	out := make([]Opinion, n)
	for i := range out {
		out[i] = Opinion{
			Node: fmt.Sprintf("n%d", i), Voter: rapid.IntRange(0, 3).Draw(rt, "voter") > 0,
			Stance:  rapid.SampledFrom([]Stance{Says, Says, Says, Blind, Missing}).Draw(rt, "stance"),
			Place:   Place{"l1", rapid.SampledFrom([]uint64{40, 40, 40, 40, 39, 41}).Draw(rt, "index")},
			Content: content(rapid.SampledFrom([]byte{1, 1, 1, 0, 2, 3}).Draw(rt, "content")),
		}
	}
	return out
}

// The order of the opinions, and who comes first, has no weight.
func TestOrderHasNoWeight(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		opinions := drawOpinions(rt)
		r := Judge(here, opinions)
		mixed := rapid.Permutation(opinions).Draw(rt, "mixed")
		m := Judge(here, mixed)
		for _, lists := range [][2][]string{{r.Good, m.Good}, {r.Wrong, m.Wrong}, {r.Unreadable, m.Unreadable}, {r.Disputed, m.Disputed}} {
			slices.Sort(lists[0])
			slices.Sort(lists[1])
			if !slices.Equal(lists[0], lists[1]) {
				rt.Fatalf("%+v\n%+v", r, m)
			}
		}
		for k := range byte(4) {
			if why := broken(opinions, r, content(k)); why != "" {
				rt.Fatalf("truth %d: %s\n%+v\n%+v", k, why, opinions, r)
			}
		}
	})
}

// A replica that goes missing never makes anybody else be blamed for more: what is decided by fewer is never decided
// otherwise.
func TestMissingReplicaChangesNoBlameIntoAnother(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		opinions := drawOpinions(rt)
		all := Judge(here, opinions)
		gone := rapid.IntRange(0, len(opinions)-1).Draw(rt, "gone")
		fewer := slices.Clone(opinions)
		fewer[gone].Stance = Missing
		r := Judge(here, fewer)
		if len(r.Wrong) > 0 && (!all.Majority || all.Right != r.Right) {
			rt.Fatalf("without %d: %+v\nwith: %+v", gone, r, all)
		}
	})
}

func TestSettleByTheLog(t *testing.T) {
	two := []Opinion{says("a", 1), says("b", 2), blind("c")}
	r := Judge(here, two)
	if s := Settle(here, two, r, content(2)); !slices.Equal(s.Good, []string{"b"}) || !slices.Equal(s.Wrong, []string{"a"}) ||
		!slices.Equal(s.Unreadable, []string{"c"}) || len(s.Disputed) > 0 || s.Right != content(2) {
		t.Errorf("%+v", s)
	}
	if s := Settle(here, two, r, content(3)); !reflect.DeepEqual(s, r) {
		t.Errorf("nobody holds what the log says: %+v", s)
	}
	decided := []Opinion{says("a", 1), says("b", 1), says("c", 2)}
	if s := Settle(here, decided, Judge(here, decided), content(2)); !slices.Equal(s.Wrong, []string{"c"}) {
		t.Errorf("the log overrules a majority: %+v", s)
	}
}

func TestCommonestPlace(t *testing.T) {
	for name, c := range map[string]struct {
		opinions []Opinion
		want     uint64
	}{
		"most":             {[]Opinion{says("a", 1), elsewhere("b", 41, 1), says("c", 1)}, 40},
		"the higher":       {[]Opinion{says("a", 1), elsewhere("b", 41, 1)}, 41},
		"voters":           {[]Opinion{says("a", 1), learner(elsewhere("b", 41, 1)), learner(elsewhere("c", 41, 1))}, 40},
		"missing is none":  {[]Opinion{away("a"), away("b"), says("c", 1)}, 40},
		"nobody is there ": {[]Opinion{away("a")}, 0},
	} {
		if at, ok := Commonest(c.opinions); at.Index != c.want || ok != (c.want > 0) {
			t.Errorf("%s: %+v %v", name, at, ok)
		}
	}
}
