package raftgroup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
	"pgregory.net/rapid"
)

var (
	leafA = digest.Leaf{Window: 0, Slot: 3}
	leafB = digest.Leaf{Window: 20412, Slot: 0}
	leafC = digest.Leaf{Window: -7, Slot: 255}
)

// told collects what OnSuspect is told.
type told struct {
	mu   sync.Mutex
	list []Suspicion
}

func (o *told) tune(c *HostConfig) {
	c.OnSuspect = func(_ uint32, s Suspicion) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.list = append(o.list, s)
	}
}

func (o *told) times() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.list)
}

func mustSuspect(t *testing.T, g *Group, s Suspicion) {
	t.Helper()
	if err := g.Suspect(s); err != nil {
		t.Fatal(err)
	}
}

// A suspicion is there after a kill -9, before anybody can read, until it is
// cleared; then it is gone for good.
func TestSuspicionOutlivesAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o told
		s := newScene(t, false, o.tune)
		s.applied(7, s.write(5))
		mustSuspect(t, s.replica(), Suspicion{Why: "differs\nfrom n2 and n3", Leaves: []digest.Leaf{leafB, leafA, leafB}})
		mustSuspect(t, s.replica(), Suspicion{Why: "another", Leaves: []digest.Leaf{leafC}})
		if o.times() != 2 {
			t.Errorf("told %d times", o.times())
		}
		since, _ := s.replica().Suspicion()
		want := []digest.Leaf{leafC, leafA, leafB}
		check := func(when string) {
			t.Helper()
			g := s.replica()
			if got := g.Shard().Distrusted(); !slices.Equal(got, want) {
				t.Errorf("%s: it serves all but %v", when, got)
			}
			st := g.Status()
			if st.State != ReplicaSuspect || st.Why == "" || len(st.Why) != len(oneLine(st.Why)) {
				t.Errorf("%s: it is %s: %q", when, st.State, st.Why)
			}
			if got, ok := g.Suspicion(); !ok || !slices.Equal(got.Leaves, want) || oneLine(got.Why) != "differs from n2 and n3" || !got.Since.Equal(since.Since) {
				t.Errorf("%s: %+v", when, got)
			}
		}
		check("at once")
		s.crash(s.target)
		s.start(s.target)
		check("after a kill")
		if n := o.times(); n < 3 {
			t.Error("the repairer was not told at the start")
		}
		before := o.times()
		time.Sleep(suspectReminder + time.Second)
		if o.times() == before {
			t.Error("nobody is reminded of it")
		}
		if err := s.replica().Clear(leafA); err != nil {
			t.Fatal(err)
		}
		want = []digest.Leaf{leafC, leafB}
		check("one acquitted")
		s.crash(s.target)
		s.start(s.target)
		check("one acquitted, and a kill")
		if err := s.replica().Clear(); err != nil {
			t.Fatal(err)
		}
		for _, when := range []string{"acquitted", "and a kill"} {
			if g := s.replica(); len(g.Shard().Distrusted()) > 0 || g.Status().State != ReplicaReady {
				t.Errorf("%s: %s %v", when, g.Status().State, g.Shard().Distrusted())
			}
			s.crash(s.target)
			s.start(s.target)
		}
		s.equal()
	})
}

// What a disk does not take is held against the replica all the same, as long as
// its process lives; and nobody is acquitted by a disk that does not answer.
func TestSuspicionHoldsWhereTheDiskTakesNoMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		g := s.replica()
		mark := s.target.host.suspectPath(7)
		block := func(path string) {
			if err := os.MkdirAll(filepath.Join(path, "x"), 0o750); err != nil {
				t.Fatal(err)
			}
		}
		check := func(when string, want ...digest.Leaf) {
			t.Helper()
			if got := g.Shard().Distrusted(); !slices.Equal(got, want) {
				t.Errorf("%s: it serves all but %v, not all but %v", when, got, want)
			}
		}
		mustSuspect(t, g, Suspicion{Why: "differs", Leaves: []digest.Leaf{leafA}})
		block(mark + ".new")
		if err := g.Suspect(Suspicion{Why: "differs, too", Leaves: []digest.Leaf{leafB}}); err == nil {
			t.Error("no error: is it durable?")
		}
		check("no mark can be written", leafA, leafB)
		if err := errors.Join(os.Remove(mark), os.RemoveAll(mark+".new")); err != nil {
			t.Fatal(err)
		}
		block(mark)
		if err := g.Clear(); err == nil {
			t.Error("no error: is it acquitted for good?")
		}
		check("no mark can be removed", leafA, leafB)
		if err := os.RemoveAll(mark); err != nil {
			t.Fatal(err)
		}
		if err := g.Clear(); err != nil {
			t.Fatal(err)
		}
		check("the disk is well again")
		s.equal()
	})
}

// A mark that rots is never taken for another one: either it says the same, or the
// replica serves nothing, and a full copy ends that.
func TestRottenMarkOfASuspicionIsNoAcquittal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		if _, err := s.replica().Shard().Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
		mustSuspect(t, s.replica(), Suspicion{Why: "why", Leaves: []digest.Leaf{leafA, leafB}})
		path := s.target.host.suspectPath(7)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := decodeSuspicions(good)
		if err != nil {
			t.Fatal(err)
		}
		for i := range good {
			for _, flip := range []byte{1, 4, 0x20, 0x80} {
				b := slices.Clone(good)
				b[i] ^= flip
				if got, err := decodeSuspicions(b); err == nil && (got.wrong == nil || !slices.Equal(got.wrong.Leaves, want.wrong.Leaves) || got.wrong.Disputed) {
					t.Errorf("byte %d: %+v", i, got)
				}
			}
			if _, err := decodeSuspicions(good[:i]); err == nil && i < len(good)-1 {
				t.Errorf("cut at %d: read", i)
			}
		}
		s.crash(s.target)
		good[len(good)/2] ^= 1
		if err := os.WriteFile(path, good, 0o640); err != nil {
			t.Fatal(err)
		}
		s.start(s.target)
		if st := s.replica().Status(); st.State != ReplicaQuarantined || st.Why == "" || s.replica().Shard() != nil {
			t.Fatalf("it is %s: %q", st.State, st.Why)
		}
		h := s.hold(s.replica())
		if err := s.install(h, s.cut(), false); err != nil {
			t.Fatal(err)
		}
		s.equal()
		s.serves(s.target.id.Server(0).String())
	})
}

// What is disputed is served, and its replica leads like any other; the state says it.
func TestDisputedReplicaServesAndLeads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		for _, n := range s.nodes {
			g, _ := n.host.Group(7)
			mustSuspect(t, g, Suspicion{Disputed: true, Why: "all differ", Leaves: []digest.Leaf{leafA}})
		}
		g := s.replica()
		if st := g.Status(); st.State != ReplicaDisputed || st.Why == "" || len(g.Shard().Distrusted()) > 0 {
			t.Errorf("%s %q %v", st.State, st.Why, g.Shard().Distrusted())
		}
		if err := s.leader.TransferLeadership(context.Background(), g.Self(), time.Second); err != nil {
			t.Errorf("it may not lead: %v", err)
		}
		time.Sleep(time.Minute)
		if !g.IsLeader() {
			t.Error("it has handed over")
		}
		s.equal()
		// One leaf that cannot be read makes it suspect; the others stay disputed.
		mustSuspect(t, g, Suspicion{Why: "cannot be read", Leaves: []digest.Leaf{leafA, leafB}})
		if st := g.Status(); st.State != ReplicaSuspect || len(g.Suspicions()) != 1 {
			t.Errorf("%s %v", st.State, g.Suspicions())
		}
	})
}

// No leaf is in both lists, an accusation ends a dispute and never the other way
// round, and the mark says what was said.
func TestSuspicionsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s suspicions
		state := make(map[digest.Leaf]bool) // true: wrong
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			var leaves []digest.Leaf
			for range rapid.IntRange(1, 4).Draw(t, "n") {
				leaves = append(leaves, digest.Leaf{Window: rapid.Int64Range(-2, 2).Draw(t, "w"), Slot: uint8(rapid.IntRange(0, 1).Draw(t, "s"))})
			}
			before := fmt.Sprint(s.wrong, s.disputed)
			old := s
			switch disputed := rapid.Bool().Draw(t, "disputed"); {
			case rapid.IntRange(0, 3).Draw(t, "clear") == 0:
				s = s.but(leaves)
				for _, l := range leaves {
					delete(state, l)
				}
			default:
				s = s.with(Suspicion{Disputed: disputed, Why: "w", Leaves: leaves, Since: time.Unix(1, 0).UTC()})
				for _, l := range leaves {
					state[l] = state[l] || !disputed
				}
			}
			if fmt.Sprint(old.wrong, old.disputed) != before {
				t.Fatal("what was said before has changed")
			}
			got := make(map[digest.Leaf]bool)
			for _, one := range []*Suspicion{s.wrong, s.disputed} {
				if one == nil {
					continue
				}
				for _, l := range one.Leaves {
					if _, twice := got[l]; twice {
						t.Fatalf("%v is in both", l)
					}
					got[l] = !one.Disputed
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(state) {
				t.Fatalf("%v, want %v", got, state)
			}
			b, err := encodeSuspicions(s)
			if err != nil {
				t.Fatal(err)
			}
			back, err := decodeSuspicions(b)
			if err != nil || fmt.Sprint(back.wrong, back.disputed) != fmt.Sprint(s.wrong, s.disputed) {
				t.Fatalf("%v %v", back, err)
			}
		}
	})
}

// Many bad leaves at once are one suspicion. Beyond the bound the replica is.
func TestLeavesThatCannotBeReadMakeTheReplicaSuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, false, nil)
		s.applied(7, s.write(5))
		g := s.replica()
		for i := range 200 {
			g.host.badLeaf(7, digest.Leaf{Window: int64(i)}, errors.New("block failed its checksum"))
		}
		await(t, "the suspicion", time.Second, func() bool {
			got, ok := g.Suspicion()
			return ok && len(got.Leaves) == 200
		})
		if st := g.Status(); st.State != ReplicaSuspect {
			t.Error(st.State)
		}
		var all []digest.Leaf
		for i := range maxSuspectLeaves + 1 {
			all = append(all, digest.Leaf{Window: int64(i)})
		}
		if err := g.Suspect(Suspicion{Why: "all", Leaves: all}); !errors.Is(err, ErrTooSuspect) {
			t.Errorf("%v", err)
		}
		await(t, "the quarantine", 10*time.Second, func() bool { return g.Status().State == ReplicaQuarantined })
		h := s.hold(g)
		if err := s.install(h, s.cut(), false); err != nil {
			t.Fatal(err)
		}
		if err := g.Clear(); err != nil {
			t.Fatal(err)
		}
		s.equal()
		s.serves(s.target.id.Server(0).String())
	})
}
