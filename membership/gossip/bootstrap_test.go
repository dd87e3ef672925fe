package gossip

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/flotilla-db/flotilla/membership"
)

func TestDecisions(t *testing.T) {
	set := []membership.NodeID{node(1), node(2), node(3)}
	others := []membership.NodeID{node(1), node(2), node(4)}
	fresh := func(i int, promise []membership.NodeID) Fresh {
		f := Fresh{ID: node(i), Expect: 3}
		if promise != nil {
			f.Promise = DigestOf(promise)
		}
		return f
	}
	for _, c := range []struct {
		name string
		view View
		step Step
	}{
		{"AClusterIsSeen", View{Self: node(1), Expect: 3, ClusterID: clusterA, Promised: set}, StepJoin},
		{"JoinAloneNeverBootstraps", View{Self: node(1), Others: []Fresh{fresh(2, nil)}}, StepWait},
		{"OneAlone", View{Self: node(1), Expect: 1}, StepPromise},
		{"TooFew", View{Self: node(1), Expect: 3, Others: []Fresh{fresh(2, nil)}}, StepWait},
		{"Complete", View{Self: node(3), Expect: 3, Others: []Fresh{fresh(2, nil), fresh(1, nil)}}, StepPromise},
		{"TooMany", View{Self: node(1), Expect: 3, Others: []Fresh{fresh(2, nil), fresh(3, nil), fresh(4, nil)}}, StepWait},
		{"ExpectsDiffer", View{Self: node(1), Expect: 3, Others: []Fresh{fresh(2, nil), {ID: node(3), Expect: 5}}}, StepWait},
		{"OneNameTwice", View{Self: node(1), Expect: 3, Others: []Fresh{fresh(2, nil), {ID: id("n2", "ffffffff"), Expect: 3}}}, StepWait},
		{"AllPromisedAndWeAreLowest", View{Self: node(1), Expect: 3, Promised: set, Others: []Fresh{fresh(2, set), fresh(3, set)}}, StepBootstrap},
		{"AllPromisedAndAnotherIsLowest", View{Self: node(2), Expect: 3, Promised: set, Others: []Fresh{fresh(1, set), fresh(3, set)}}, StepWait},
		{"OneHasNotPromised", View{Self: node(1), Expect: 3, Promised: set, Others: []Fresh{fresh(2, set), fresh(3, nil)}}, StepWait},
		{"OneHasPromisedAnotherSet", View{Self: node(1), Expect: 3, Promised: set, Others: []Fresh{fresh(2, others), fresh(3, set)}}, StepWait},
		{"OneIsAway", View{Self: node(1), Expect: 3, Promised: set, Others: []Fresh{fresh(2, set)}}, StepWait},
	} {
		d := Decide(c.view)
		if d.Step != c.step || d.Step == StepWait && d.Reason == "" {
			t.Errorf("%s: %+v", c.name, d)
		}
		if d.Step == StepPromise && !slices.IsSortedFunc(d.Set, membership.NodeID.Compare) {
			t.Errorf("%s: %v", c.name, d.Set)
		}
	}
}

// Whatever each node sees, and whenever: of two sets that are made into
// clusters none shares a node, since a node promises once.
func TestNoNodeIsInTwoNewClusters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 6
		expect := uint32(rapid.IntRange(1, 3).Draw(t, "expect"))
		promised := map[membership.NodeID][]membership.NodeID{}
		makers := map[string][]membership.NodeID{}
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			self := node(rapid.IntRange(1, n).Draw(t, "self"))
			v := View{Self: self, Expect: expect, Promised: promised[self]}
			for i := 1; i <= n; i++ {
				if node(i) != self && rapid.Bool().Draw(t, "sees") {
					f := Fresh{ID: node(i), Expect: expect}
					if p := promised[node(i)]; p != nil && rapid.Bool().Draw(t, "heard") {
						f.Promise = DigestOf(p)
					}
					v.Others = append(v.Others, f)
				}
			}
			switch d := Decide(v); d.Step {
			case StepPromise:
				promised[self] = d.Set
			case StepBootstrap:
				makers[fmt.Sprint(d.Set)] = append(makers[fmt.Sprint(d.Set)], self)
			}
		}
		used := map[string]string{}
		for set, who := range makers {
			if len(slices.Compact(who)) != 1 {
				t.Fatalf("%s is made by %v", set, who)
			}
			for _, id := range promised[who[0]] {
				if other, ok := used[id.String()]; ok && other != set {
					t.Fatalf("%s is in %s and in %s", id, set, other)
				}
				used[id.String()] = set
			}
		}
	})
}

func FuzzDecodeMeta(f *testing.F) {
	b, _ := Meta{ClusterID: clusterA, Expect: 3, Zone: "a", RPCAddr: "h:1", HTTPAddr: "h:2", Version: "v"}.encode()
	f.Add(b)
	f.Add(b[:20])
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			return
		}
		again, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := decodeMeta(again); err != nil || back != m {
			t.Fatalf("%+v became %+v, %v", m, back, err)
		}
	})
}
