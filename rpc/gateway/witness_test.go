package gateway_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/storage"
)

// witnessed is a group of three replicas at a cut of their own. n1 leads.
type witnessed struct {
	c   *fakecluster.Cluster
	g   gateway.Group // of the leader
	cut string

	mu    sync.Mutex
	asked map[string]int // questions for roots, by node
	fails map[string]error
}

const witnessedGroup = 3

func newWitnessed(t *testing.T, spoil func(c *fakecluster.Cluster)) *witnessed {
	t.Helper()
	w := &witnessed{c: fakecluster.New(t, fakecluster.Options{}), asked: map[string]int{}, fails: map[string]error{}}
	fill(t, w.c, 20, 10)
	if spoil != nil {
		spoil(w.c)
	}
	leader := w.c.Leader(witnessedGroup)
	for _, n := range w.c.Nodes {
		if n.Name == leader {
			w.g, _ = n.Group(witnessedGroup)
		}
	}
	var err error
	if w.cut, _, err = w.g.Cut(t.Context(), "copy", time.Minute); err != nil {
		t.Fatal(err)
	}
	w.c.OnCall(func(_, to string, m gateway.Method) (before, after error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if m == gateway.MethodRoots {
			w.asked[to]++
			return w.fails[to], nil
		}
		return nil, nil
	})
	return w
}

func (w *witnessed) equal(t *testing.T, except string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return w.c.Nodes[0].Gateway.RootsAt(ctx, witnessedGroup, w.cut, except)
}

// All replicas but one tell their roots at the cut: one that differs is seen, whoever it is, but for the one that is left
// out; who differs only since then is equal there.
func TestRootsAtACutTellWhoDiffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		odd := []storage.Point{point("a", 1, 77)}
		for _, node := range []string{"", "n1", "n2", "n3"} {
			w := newWitnessed(t, func(c *fakecluster.Cluster) {
				if node != "" {
					c.Damage(witnessedGroup, node, odd)
				}
			})
			for _, except := range []string{"", "n1", "n2", "n3"} {
				clear(w.asked)
				if equal := w.equal(t, except); equal != (node == "" || node == except) {
					t.Errorf("%q differs, without %q: equal %v", node, except, equal)
				}
				for _, n := range []string{"n2", "n3"} { // n1 asks itself without a call
					if asked := w.asked[n]; (n == except) != (asked == 0) {
						t.Errorf("without %q: %s was asked %d times", except, n, asked)
					}
				}
			}
			w.c.Close()
		}
		w := newWitnessed(t, nil)
		w.c.Damage(witnessedGroup, "n2", odd)
		if !w.equal(t, "n3") {
			t.Error("what came after the cut counts")
		}
	})
}

// Who does not tell is no evidence: neither who is away, nor who has not the cut; and none at all is none of a difference.
func TestRootsThatNobodyTellsAreNoEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		odd := []storage.Point{point("a", 1, 77)}
		w := newWitnessed(t, func(c *fakecluster.Cluster) { c.Damage(witnessedGroup, "n2", odd) })
		if w.equal(t, "n3") {
			t.Fatal("n2 differs")
		}
		w.fails["n2"] = errors.New("it is away")
		if !w.equal(t, "n3") || w.asked["n2"] == 0 {
			t.Error("n2 has told nothing")
		}
		clear(w.fails)
		w.cut = "no such cut"
		if !w.equal(t, "") {
			t.Error("nobody has told anything")
		}
		w = newWitnessed(t, nil)
		w.c.Unassign(witnessedGroup, "n2")
		if clear(w.asked); !w.equal(t, "") || w.asked["n2"] > 0 {
			t.Errorf("n2 holds the group no more: %v", w.asked)
		}
	})
}

// The same content of another lineage of the group is another state.
func TestRootsOfAnotherLineageDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWitnessed(t, nil)
		w.c.SetLineage(witnessedGroup, "n2", "another")
		if w.equal(t, "n3") || !w.equal(t, "n2") {
			t.Error("n2 is of another lineage")
		}
	})
}
