package antientropy

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// recording is a world that remembers what was agreed upon, by node.
type recording struct {
	*world
	mu     sync.Mutex
	agreed map[string]Place
}

func (w *recording) Agree(_ context.Context, _ uint32, _, node string, at Place, root digest.ID) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if said := w.of(node).list(false, nil); digest.Root(entriesOf(said)) != root {
		w.t.Errorf("%s agrees upon what it has not", node)
	}
	w.agreed[node] = at
	return errors.New("a full disk") // costs nothing
}

func entriesOf(list []LeafStatement) (entries []digest.Entry) {
	for _, s := range list {
		entries = append(entries, s.Entry)
	}
	return entries
}

// Only what all replicas were found equal at is agreed upon: not by a majority, and not while one is missing.
func TestAgreedIsWhatAllWereFoundEqualAt(t *testing.T) {
	for name, c := range map[string]struct {
		spoil  func(w *world)
		o      Options
		agreed int
	}{
		"equal":                {func(*world) {}, Options{}, 3},
		"equal, no cut":        {func(*world) {}, Options{Quick: true}, 3},
		"one is wrong":         {func(w *world) { w.replicas[1].data[leaves[1]] = 99 }, Options{}, 0},
		"one was repaired":     {func(w *world) { w.replicas[1].data[leaves[1]] = 99 }, mending, 0}, // the next check's
		"one is wrong, no cut": {func(w *world) { w.replicas[1].data[leaves[1]] = 99 }, Options{Quick: true}, 0},
		"one is behind":        {func(w *world) { w.replicas[1].index = 12 }, Options{Quick: true, Mode: Verify}, 0},
		"one is missing":       {func(w *world) { w.replicas[2].Why = "down" }, Options{}, 0},
		"one is elsewhere":     {func(w *world) { w.replicas[2].lineage = "l2" }, Options{}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &recording{world: newWorld(t, 3), agreed: map[string]Place{}}
			c.spoil(w.world)
			e := w.engine()
			e.config.Cluster = w
			r, err := e.Check(t.Context(), 7, c.o)
			if err != nil || len(w.agreed) != c.agreed || c.agreed > 0 && !r.Equal {
				t.Errorf("%s: agreed %v, %+v, %v", name, w.agreed, r, err)
			}
			for node, at := range w.agreed {
				if at != r.Place {
					t.Errorf("%s: %s agreed at %+v, not at %+v", name, node, at, r.Place)
				}
			}
		})
	}
}

func TestLogsConcur(t *testing.T) {
	place, leaf, other := Place{"l1", 7}, leaves[0], leaves[1]
	says := func(node string, at Place, b byte) Told {
		s := LeafStatement{Entry: digest.Entry{Leaf: leaf, LeafDigest: digest.LeafDigest{ID: digest.ID{b}, Points: 1}}}
		return Told{Node: node, List: LeafList{Place: at, Leaves: []LeafStatement{s}}}
	}
	silent := Told{Node: "n3", List: LeafList{Place: place, Leaves: []LeafStatement{{Entry: digest.Entry{Leaf: leaf}, Unreadable: true, Why: "it is gone"}}}}
	for name, c := range map[string]struct {
		told []Told
		want byte
		why  string // of what is not told
	}{
		"one":             {[]Told{says("n1", place, 4)}, 4, ""},
		"two alike":       {[]Told{says("n1", place, 4), says("n2", place, 4)}, 4, ""},
		"one of two":      {[]Told{silent, says("n2", place, 4), {Node: "n1", Err: errors.New("it is trimmed")}}, 4, ""},
		"different":       {[]Told{says("n1", place, 4), silent, says("n2", place, 5)}, 0, "n1 and n2 say different things"},
		"nobody":          {[]Told{silent, {Node: "n1", Err: errors.New("it is trimmed")}}, 0, "n3: it is gone; n1: it is trimmed"},
		"another place":   {[]Told{says("n1", Place{"l1", 8}, 4)}, 0, "index 8"},
		"another lineage": {[]Told{says("n1", Place{"l2", 7}, 4)}, 0, "lineage l2"},
		"none at all":     {nil, 0, ""},
	} {
		list := Concur(place, []digest.Leaf{leaf, other}, c.told)
		if len(list.Leaves) != 2 || list.Place != place || list.Leaves[1].Leaf != other || !list.Leaves[1].Unreadable {
			t.Fatalf("%s: %+v", name, list)
		}
		s := list.Leaves[0]
		if s.Leaf != leaf || s.Unreadable != (c.want == 0) || s.ID != (digest.ID{c.want}) || !strings.Contains(s.Why, c.why) {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
