package placement

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/flotilla-db/flotilla/membership"
)

func named(n int) []Node {
	nodes := make([]Node, n)
	for i := range nodes {
		nodes[i] = Node{Name: fmt.Sprintf("n%d", i+1)}
	}
	return nodes
}

// spread gives most and least of primaries and of replicas.
func spread(nodes []Node, loads Loads) (mostP, leastP, mostR, leastR int) {
	leastP, leastR = 1<<30, 1<<30
	for _, n := range nodes {
		l := loads[n.Name]
		mostP, leastP = max(mostP, l.Primaries), min(leastP, l.Primaries)
		mostR, leastR = max(mostR, l.Replicas), min(leastR, l.Replicas)
	}
	return
}

func mustHoldSpread(t interface {
	Helper()
	Fatalf(string, ...any)
}, nodes []Node, loads Loads) {
	t.Helper()
	mostP, leastP, mostR, leastR := spread(nodes, loads)
	if float64(mostP) > MaxSpread*float64(leastP) || float64(mostR) > MaxSpread*float64(leastR) {
		t.Fatalf("%d nodes: primaries %d..%d, replicas %d..%d: more than %v apart: %v", len(nodes), leastP, mostP, leastR, mostR, MaxSpread, loads)
	}
}

func TestSpreadHoldsFrom3To9NodesWhateverTheOrderOfBirths(t *testing.T) {
	for n := 3; n <= 9; n++ {
		for seed := range uint64(40) {
			rng := rand.New(rand.NewPCG(seed, uint64(n)))
			nodes := named(n)
			for i := range nodes {
				if seed%2 == 1 {
					nodes[i].Name = fmt.Sprintf("host-%x", rng.Uint32())
				}
			}
			p, loads := NewPicker(nodes, Options{}), Loads{}
			for _, g := range rng.Perm(256) {
				c := p.Choose(uint32(g), loads, 3)
				if holders := append(slices.Clone(c.Replicas), c.Primary); len(holders) != 3 || len(slices.Compact(slices.Sorted(slices.Values(holders)))) != 3 {
					t.Fatalf("group %d got %v", g, c)
				}
				loads.Add(c)
			}
			mustHoldSpread(t, nodes, loads)
		}
	}
}

func TestSpreadHoldsOnTheRing(t *testing.T) {
	nodes := named(24)
	p, loads := NewPicker(nodes, Options{}), Loads{}
	if len(p.ring) != 24*DefaultVnodes {
		t.Fatalf("a ring of %d virtual nodes", len(p.ring))
	}
	for g := range uint32(4096) {
		loads.Add(p.Choose(g, loads, 3))
	}
	mustHoldSpread(t, nodes, loads)
}

func TestHashingAloneIsWellMixed(t *testing.T) {
	for _, n := range []int{3, 5, 9, 20} {
		nodes := named(n)
		p, first := NewPicker(nodes, Options{}), map[string]int{}
		const groups = 20000
		for g := range uint32(groups) {
			first[p.Rank(g)[0]]++
		}
		for _, node := range nodes {
			if share := float64(first[node.Name]) * float64(n) / groups; share < 0.75 || share > 1.25 {
				t.Errorf("%d nodes: %s ranks first for %.2f of its share", n, node.Name, share)
			}
		}
	}
}

func TestRankMovesOnlyToANewNode(t *testing.T) {
	for _, n := range []int{5, 25} {
		before, after := NewPicker(named(n), Options{}), NewPicker(named(n+1), Options{})
		added := fmt.Sprintf("n%d", n+1)
		for g := range uint32(256) {
			was := before.Rank(g)
			now := slices.DeleteFunc(after.Rank(g), func(name string) bool { return name == added })
			if !slices.Equal(was, now) {
				t.Fatalf("%d nodes, group %d: ranks %v became %v", n, g, was, now)
			}
		}
	}
}

func TestChooseIsTheSameForAnyOrderOfNodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := named(rapid.IntRange(1, 30).Draw(t, "nodes"))
		for i := range nodes {
			nodes[i].Zone = rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "zone")
		}
		loads := Loads{}
		for _, n := range nodes {
			loads[n.Name] = Load{rapid.IntRange(0, 50).Draw(t, "p"), rapid.IntRange(0, 50).Draw(t, "r")}
		}
		group, factor := rapid.Uint32().Draw(t, "group"), rapid.IntRange(1, 5).Draw(t, "factor")
		a := Choose(group, nodes, loads, factor, Options{})
		b := Choose(group, rapid.Permutation(nodes).Draw(t, "order"), loads, factor, Options{})
		if a.Primary != b.Primary || !slices.Equal(a.Replicas, b.Replicas) {
			t.Fatalf("%v and %v", a, b)
		}
		if 1+len(a.Replicas) != min(factor, len(nodes)) {
			t.Fatalf("factor %d on %d nodes gave %v", factor, len(nodes), a)
		}
		zones, used := map[string]bool{}, map[string]bool{}
		for _, n := range nodes {
			zones[n.Zone] = true
			if n.Name == a.Primary || slices.Contains(a.Replicas, n.Name) {
				used[n.Zone] = true
			}
		}
		if len(used) < min(factor, len(zones)) {
			t.Fatalf("%v uses %d zones of %d", a, len(used), len(zones))
		}
	})
}

func TestSpreadHoldsWithThreeZones(t *testing.T) {
	for _, n := range []int{3, 6, 9} {
		nodes := named(n)
		for i := range nodes {
			nodes[i].Zone = string(rune('a' + i%3))
		}
		p, loads := NewPicker(nodes, Options{}), Loads{}
		for g := range uint32(256) {
			loads.Add(p.Choose(g, loads, 3))
		}
		mustHoldSpread(t, nodes, loads)
	}
}

func TestGoldenVectors(t *testing.T) {
	for _, v := range []struct {
		group uint32
		nodes int
		rank  string
	}{
		{0, 3, "[n3 n1 n2]"}, {1, 3, "[n1 n3 n2]"}, {36, 3, "[n1 n2 n3]"}, {255, 5, "[n5 n4 n3]"}, {34, 20, "[n3 n13 n19]"},
	} {
		got := fmt.Sprint(NewPicker(named(v.nodes), Options{}).Rank(v.group)[:3])
		if got != v.rank {
			t.Errorf("group %d on %d nodes ranks %s, want %s: every cluster would choose anew", v.group, v.nodes, got, v.rank)
		}
	}
}

func born(groups int, primary string) []membership.Assignment {
	out := make([]membership.Assignment, groups)
	for g := range out {
		out[g] = membership.Assignment{Group: uint32(g), Primary: primary, State: membership.GroupActive, Epoch: 1}
	}
	return out
}

func carryOut(t *testing.T, groups, plan []membership.Assignment) {
	t.Helper()
	for _, c := range plan {
		if c.Epoch != groups[c.Group].Epoch {
			t.Fatalf("group %d was planned from epoch %d, not %d", c.Group, c.Epoch, groups[c.Group].Epoch)
		}
		for _, name := range groups[c.Group].Nodes() {
			if !c.Holds(name) {
				t.Fatalf("group %d: the plan takes it from %s: %+v", c.Group, name, c)
			}
		}
		c.Epoch++
		c.State = membership.GroupActive
		groups[c.Group] = c
	}
}

func TestGrowingFrom1To3FillsAllGroupsAndSpreadsPrimaries(t *testing.T) {
	for _, steps := range [][]int{{3}, {2, 3}} {
		groups := born(256, "n1")
		for _, n := range steps {
			nodes := named(n)
			carryOut(t, groups, Plan(groups, nodes, 3, Options{}))
			for _, a := range groups {
				if len(a.Nodes()) != n {
					t.Fatalf("with %d nodes group %d is held by %v", n, a.Group, a.Nodes())
				}
			}
			mustHoldSpread(t, nodes, CountLoads(groups))
			if again := Plan(groups, nodes, 3, Options{}); len(again) != 0 {
				t.Fatalf("with %d nodes a second plan changes %d groups", n, len(again))
			}
		}
	}
}

func TestGrowingFrom1To5KeepsTheSpread(t *testing.T) {
	for n := 3; n <= 9; n++ {
		groups, nodes := born(256, "n1"), named(n)
		carryOut(t, groups, Plan(groups, nodes, 3, Options{}))
		mostP, leastP, _, _ := spread(nodes, CountLoads(groups))
		if !withinSpread(mostP, leastP, MaxSpread) {
			t.Errorf("%d nodes: primaries %d..%d", n, leastP, mostP)
		}
	}
}

func TestPlanLeavesADownNodeItsPlaces(t *testing.T) {
	groups := born(90, "n1")
	carryOut(t, groups, Plan(groups, named(3), 3, Options{}))
	if plan := Plan(groups, named(2), 3, Options{}); len(plan) != 0 {
		t.Fatalf("n3 is away, and the plan changes %d groups: %+v", len(plan), plan[0])
	}
}

func TestPrimariesMoveAlongAChain(t *testing.T) {
	// n1 and n3 share no group: n1 can shed only to n2, and n2 to n3.
	var groups []membership.Assignment
	for g := range 12 {
		a := membership.Assignment{Group: uint32(g), Primary: "n1", Replicas: []string{"n2"}, State: membership.GroupActive, Epoch: 1}
		if g >= 8 {
			a.Primary, a.Replicas = "n2", []string{"n3"}
		}
		groups = append(groups, a)
	}
	carryOut(t, groups, Plan(groups, named(3), 2, Options{}))
	if mostP, leastP, _, _ := spread(named(3), CountLoads(groups)); mostP != 4 || leastP != 4 {
		t.Fatalf("primaries %d..%d: %v", leastP, mostP, CountLoads(groups))
	}
}
