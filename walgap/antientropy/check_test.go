package antientropy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

var mending = Options{Repair: true}

// one is the only finding of a report.
func one(t *testing.T, r Report) Finding {
	t.Helper()
	if len(r.Findings) != 1 || r.FindingsTotal != 1 {
		t.Fatalf("findings: %+v", r.Findings)
	}
	return r.Findings[0]
}

func (w *world) total(calls ...string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range calls {
		n += w.calls[c]
	}
	return n
}

func TestNothingChangedCostsRootsOnly(t *testing.T) {
	for _, o := range []Options{{Quick: true}, {Mode: Verify}, {Quick: true, Repair: true}} {
		w := newWorld(t, 3)
		if r := w.check(o); !r.Equal || !r.Quick || r.Unchecked != "" || r.Damaged || r.BytesRead != 0 || r.BytesCompared == 0 {
			t.Errorf("%+v", r)
		}
		if w.calls["standing"] != 3 || w.calls["members"] != 1 || len(w.calls) != 2 {
			t.Errorf("%+v: %v", o, w.calls)
		}
	}
	w := newWorld(t, 3)
	if r := w.check(Options{}); !r.Equal || r.Quick || r.Place != (Place{"l1", 41}) {
		t.Errorf("%+v", r)
	}
	if w.calls["root"] != 3 || w.total("leaves", "reread", "inspect", "accuse") != 0 {
		t.Errorf("at a cut: %v", w.calls)
	}
}

func TestOddOneIsBlamedAndMended(t *testing.T) {
	for name, damage := range map[string]func(h *replica){
		"another content":    func(h *replica) { h.data[leaves[1]] = 99 },
		"a leaf lost":        func(h *replica) { delete(h.data, leaves[1]) },
		"rotten":             func(h *replica) { h.rotten[leaves[1]] = true; h.doubts = leaves[1:2] },
		"a wrong record":     func(h *replica) { h.record[leaves[1]] = 98 },
		"rot and record":     func(h *replica) { h.rotten[leaves[1]] = true; h.record[leaves[1]] = 98 },
		"deletes skipped":    func(h *replica) { h.data[digest.Leaf{Window: 9, Slot: 9}] = 5 },
		"a deep one: rotten": func(h *replica) { h.rotten[leaves[1]] = true },
	} {
		for leader := range 3 {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3)
				w.leader = leader
				damage(w.replicas[1])
				o := mending
				o.Deep = strings.HasPrefix(name, "a deep")
				r := w.check(o)
				f := one(t, r)
				if f.Node != "n2" || f.Action != Repaired || !r.Equal || !r.Damaged || !r.Repaired || r.Unchecked != "" {
					t.Errorf("%s, n%d leads: %+v", name, leader+1, r)
				}
				want := Wrong
				if len(w.replicas[1].rotten) == 0 && strings.Contains(name, "rot") {
					want = Unreadable
				}
				kind := Data
				if name == "a wrong record" {
					kind = Metadata
				}
				if f.Verdict != want || f.Kind != kind {
					t.Errorf("%s: %s %s", name, f.Kind, f.Verdict)
				}
				if !w.replicas[1].right(w.truth) || w.replicas[1].Suspect != nil {
					t.Errorf("%s: %+v", name, w.replicas[1])
				}
				if kind == Data && f.Verdict == Wrong && name != "deletes skipped" && (f.From == nil || *f.From > 100 || !slices.Contains(f.Devices, "dev")) {
					t.Errorf("%s: %+v", name, f)
				}
				if name == "another content" && (!slices.Equal(f.Devices, []string{"dev"}) || *f.To != 299 || f.Leaf == nil || *f.Leaf != leaves[1]) {
					t.Errorf("%s: %+v", name, f)
				}
				if again := w.check(Options{Quick: true}); !again.Equal || again.Damaged {
					t.Errorf("%s, again: %+v", name, again)
				}
			})
		}
	}
}

// A rotten leaf is not seen in roots of stored digests. A deep check reads the bytes.
func TestDigestFromTheTableIsNoOpinion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.replicas[2].rotten[leaves[0]] = true
		if r := w.check(Options{}); !r.Equal {
			t.Fatalf("roots alone: %+v", r)
		}
		f := one(t, w.check(Options{Deep: true}))
		if f.Node != "n3" || f.Verdict != Unreadable || f.Action != NoAction || f.Kind != Data {
			t.Errorf("%+v", f)
		}
		if s := w.replicas[2].Suspect; s == nil || !slices.Equal(s.Leaves, leaves[:1]) || s.Disputed {
			t.Errorf("%+v", s)
		}
		// Its record says what the others say. The check reads nevertheless.
		f = one(t, w.check(Options{Quick: true}))
		if f.Verdict != Unreadable {
			t.Errorf("%+v", f)
		}
	})
}

func TestNothingIsRepairedUnasked(t *testing.T) {
	w := newWorld(t, 3)
	w.replicas[1].data[leaves[1]] = 99
	r := w.check(Options{})
	if f := one(t, r); f.Action != NoAction || r.Equal || r.Repaired || !r.Damaged || w.calls["repair"] != 0 {
		t.Errorf("%+v", r)
	}
	if w.replicas[1].Suspect == nil {
		t.Error("it goes on serving what is wrong")
	}
}

func TestModeVerifyPutsNothingInTheLog(t *testing.T) {
	w := newWorld(t, 3)
	w.replicas[1].data[leaves[1]] = 99
	r := w.check(Options{Mode: Verify})
	if f := one(t, r); f.Node != "n2" || f.Verdict != Wrong || f.Leaf != nil || r.Equal || w.total("cut", "accuse", "leaves") != 0 {
		t.Errorf("%+v %v", r, w.calls)
	}
	w = newWorld(t, 3)
	w.replicas[1].index = 39
	w.replicas[1].data[leaves[1]] = 99
	if r := w.check(Options{Mode: Verify}); r.Equal || r.Damaged || !strings.Contains(r.Unchecked, "n2 at 39") || !r.Passing {
		t.Errorf("at different indices: %+v", r)
	}
	w = newWorld(t, 3)
	w.replicas[1].rotten[leaves[1]] = true
	if f := one(t, w.check(Options{Mode: Verify, Deep: true})); f.Verdict != Unreadable || w.total("cut") != 0 {
		t.Errorf("%+v", f)
	}
	synctest.Test(t, func(t *testing.T) {
		w = newWorld(t, 3)
		w.replicas[1].data[leaves[1]] = 99
		if r := w.check(Options{Mode: Verify, Repair: true}); !r.Equal || !r.Repaired || r.Quick {
			t.Errorf("with repair: %+v", r)
		}
	})
}

// A replica that stands elsewhere cannot be compared, and a deep check reads it all the same: what it finds in its own
// bytes needs no other. One that was not read again would be served from until somebody met the damage.
func TestDeepCheckReadsWhoStandsElsewhere(t *testing.T) {
	for name, damage := range map[string]func(*replica){
		"a leaf":    func(h *replica) { h.rotten[leaves[1]] = true },
		"structure": func(h *replica) { h.structure = "a page is damaged" },
	} {
		w := newWorld(t, 3)
		w.replicas[0].index = 42 // it leads
		damage(w.replicas[0])
		r := w.check(Options{Mode: Verify, Deep: true})
		if f := one(t, r); f.Node != "n1" || !r.Damaged || r.Equal || !strings.Contains(r.Unchecked, "n1 at 42") || w.total("inspect") != 3 || w.total("cut") != 0 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// What a replica cannot read makes its root no opinion: while another one stands elsewhere, it does not dispute that of the
// one that is left.
func TestRootOverAnUnreadableLeafDisputesNobody(t *testing.T) {
	w := newWorld(t, 3)
	w.replicas[0].rotten[leaves[1]], w.replicas[0].doubts = true, leaves[1:2]
	w.replicas[2].index = 39
	for _, deep := range []bool{false, true} {
		r := w.check(Options{Mode: Verify, Deep: deep})
		if f := one(t, r); f.Node != "n1" || f.Verdict != Unreadable || r.Disputed {
			t.Errorf("deep %v: %+v", deep, r)
		}
	}
}

func TestMissingReplicaIsNotEqual(t *testing.T) {
	for name, lose := range map[string]func(w *world){
		"down": func(w *world) { w.replicas[2].Why = "the node is down" },
		"no answer": func(w *world) {
			w.fault = func(call, node string) error {
				if node == "n3" {
					return errors.New("connection refused")
				}
				return nil
			}
		},
		"elsewhere":       func(w *world) { w.replicas[2].index = 12 },
		"another lineage": func(w *world) { w.replicas[2].lineage = "l2" },
		"view lost for ever": func(w *world) {
			w.fault = func(call, node string) error {
				if node == "n3" && call != "standing" {
					return fmt.Errorf("it started again: %w", ErrNotPinned)
				}
				return nil
			}
			w.replicas[0].index = 40 // a quick check does not do
		},
	} {
		for _, o := range []Options{{}, {Quick: true}, {Deep: true}, mending} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 3)
				lose(w)
				if name == "view lost for ever" {
					w.replicas[0].index, o.Quick = 0, false
				}
				r := w.check(o)
				if r.Equal || r.Damaged || !strings.Contains(r.Unchecked, "n3") || !slices.Equal(r.Missing, []string{"n3"}) {
					t.Errorf("%s, %+v: %+v", name, o, r)
				}
				if w.replicas[2].Suspect != nil || w.calls["repair"] != 0 {
					t.Errorf("%s: blamed for being missing", name)
				}
			})
		}
	}
}

// What all say of an earlier index is no answer about the cut, however equal it is.
func TestAnswersForAnEarlierIndexProveNothing(t *testing.T) {
	w := newWorld(t, 3)
	for _, h := range w.replicas {
		h.index = 12
	}
	if r := w.check(Options{}); r.Equal || r.Damaged || len(r.Missing) != 3 {
		t.Errorf("%+v", r)
	}
}

func TestDifferenceIsSeenWhileOneIsMissing(t *testing.T) {
	w := newWorld(t, 3)
	w.replicas[2].Why = "the node is down"
	w.replicas[1].data[leaves[1]] = 99
	r := w.check(mending)
	if !r.Damaged || !r.Disputed || r.Unchecked == "" || len(r.Findings) != 2 || w.calls["repair"] != 0 {
		t.Fatalf("%+v", r)
	}
	// It comes back, and the next check decides.
	w.replicas[2].Why = ""
	synctest.Test(t, func(t *testing.T) {
		w.t = t
		r = w.check(mending)
		if f := one(t, r); f.Node != "n2" || !r.Equal || w.replicas[0].Suspect != nil || w.replicas[1].Suspect != nil {
			t.Errorf("%+v", r)
		}
	})
}

func TestNoMajorityNoRepair(t *testing.T) {
	for name, damage := range map[string]func(w *world){
		"two replicas": func(w *world) { w.replicas = w.replicas[:2]; w.replicas[1].data[leaves[1]] = 99 },
		"all different": func(w *world) {
			w.replicas[1].data[leaves[1]] = 99
			w.replicas[2].data[leaves[1]] = 98
		},
	} {
		w := newWorld(t, 3)
		damage(w)
		before := make([]map[digest.Leaf]byte, len(w.replicas))
		for i, h := range w.replicas {
			before[i] = maps.Clone(h.data)
		}
		r := w.check(Options{Repair: true, Deep: true})
		if r.Equal || !r.Disputed || r.Repaired || len(r.Findings) != len(w.replicas) || w.calls["repair"] != 0 {
			t.Errorf("%s: %+v", name, r)
		}
		for i, h := range w.replicas {
			if f := r.Findings[i]; f.Verdict != Disputed || f.Action != NoAction || f.Leaf == nil {
				t.Errorf("%s: %+v", name, f)
			}
			if h.Suspect == nil || !h.Suspect.Disputed || !maps.Equal(h.data, before[i]) {
				t.Errorf("%s: %+v", name, h)
			}
		}
	}
}

// replaying is a world whose log still begins with the first entry.
type replaying struct{ *world }

func (w replaying) Replay(_ context.Context, _ uint32, cut string, only []digest.Leaf) (LeafList, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := &replica{data: w.truth}
	for _, v := range w.cuts[cut] {
		return LeafList{Place: Place{"l1", v.index}, Leaves: h.list(true, only)}, nil
	}
	return LeafList{}, ErrNotPinned
}

func TestLogSettlesADispute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2)
		w.replicas[0].data[leaves[1]] = 99 // and it leads
		e := w.engine()
		e.config.Cluster = replaying{w}
		r, err := e.Check(t.Context(), 7, mending)
		if f := one(t, r); err != nil || f.Node != "n1" || f.Action != Repaired || !r.Equal {
			t.Errorf("%+v %v", r, err)
		}
		w.after(r)
	})
}

func TestRepairThatDoesNothingIsFailed(t *testing.T) {
	for name, damage := range map[string]func(h *replica){
		"wrong":     func(h *replica) { h.data[leaves[1]] = 99 },
		"rotten":    func(h *replica) { h.rotten[leaves[1]] = true },
		"record":    func(h *replica) { h.record[leaves[1]] = 98 },
		"structure": func(h *replica) { h.structure = "freelist" },
		"log":       func(h *replica) { h.log = []LogDamage{{Why: "record 7"}} },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 3)
			damage(w.replicas[1])
			w.repaired = func(*replica) error { return nil }
			r := w.check(Options{Repair: true, Deep: true})
			if f := one(t, r); f.Action != RepairFailed || r.Equal || r.Repaired || !r.Passing {
				t.Errorf("%s: %+v", name, r)
			}
			if name != "log" && w.replicas[1].Suspect == nil || w.calls["acquit"] != 0 {
				t.Errorf("%s: trusted again", name)
			}
			// The next one does better.
			w.repaired = nil
			if r = w.check(Options{Repair: true, Deep: true}); !r.Equal || !r.Repaired || w.replicas[1].Suspect != nil {
				t.Errorf("%s, again: %+v", name, r)
			}
		})
	}
}

// Between the repair and the check after it lies a later cut: equality at the first cut would be no news.
func TestRepairIsCheckedAtALaterCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.replicas[1].data[leaves[1]] = 99
		if r := w.check(mending); w.made != 2 || r.Place.Index != 42 {
			t.Errorf("%d cuts, the last at %+v", w.made, r.Place)
		}
		for _, next := range []uint64{31, 41} { // as if a cut were answered from a cache: an earlier one, then the same
			w = newWorld(t, 3)
			w.replicas[1].data[leaves[1]] = 99
			w.repaired = func(h *replica) error {
				w.copy(h, Repair{Good: []string{"n1"}, Leaves: leaves})
				w.index = next - 1
				return nil
			}
			r := w.check(mending)
			if proven := one(t, r).Action == Repaired; proven != (r.Place.Index == 42) || next < 41 && proven {
				t.Errorf("cuts from %d on after one at 41 prove: %+v", next, r)
			}
		}
	})
}

func TestDeepFindings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		h := w.replicas[1]
		h.structure, h.harmless = "page 7: unreachable", []string{"free page 9", "free page 12"}
		h.log = []LogDamage{{Why: "record 7"}, {Votes: true, Why: "vote"}, {Why: "record 9", Repaired: true}}
		h.record[leaves[2]] = 77
		r := w.check(Options{Deep: true})
		var got []string
		for _, f := range r.Findings {
			got = append(got, fmt.Sprintf("%s %s %s %v", f.Kind, f.Verdict, f.Action, f.Leaf != nil))
		}
		want := []string{
			"metadata wrong none false", "log unreadable none false", "metadata unreadable none false", "log unreadable repaired false",
			"free harmless harmless false", "free harmless harmless false", "metadata wrong none true",
		}
		if !slices.Equal(got, want) || r.Equal || h.Suspect == nil || h.Suspect.Leaves != nil {
			t.Errorf("%q\n%+v", got, h.Suspect)
		}
		r = w.check(Options{Deep: true, Repair: true})
		if !r.Equal || !r.Repaired || h.Suspect != nil || len(h.log) != 0 {
			t.Errorf("%+v", r)
		}
		if r = w.check(Options{Deep: true}); !r.Equal || r.Damaged || r.FindingsTotal != 2 {
			t.Errorf("harmless only: %+v", r)
		}
	})
}

func TestManyFindingsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		for i := range 1500 {
			w.replicas[2].data[digest.Leaf{Window: int64(1000 + i)}] = 1
		}
		r := w.check(mending)
		if r.FindingsTotal != 1500 || len(r.Findings) != MaxFindings || !r.Repaired || !r.Equal {
			t.Errorf("%d of %d, %+v", len(r.Findings), r.FindingsTotal, r.Unchecked)
		}
		if w.calls["detail"] > 2*maxDetails {
			t.Errorf("%d questions for details", w.calls["detail"])
		}
	})
}

func TestTwoOfFiveAreMendedOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5)
		w.replicas[0].data[leaves[1]] = 99 // leads
		w.replicas[3].rotten[leaves[2]] = true
		w.replicas[3].doubts = leaves[2:3]
		r := w.check(mending)
		if len(r.Findings) != 2 || !r.Equal || !r.Repaired || w.leader == 0 || w.leader == 3 {
			t.Errorf("n%d leads: %+v", w.leader+1, r)
		}
	})
}

func TestLeaderThatCannotHandOverIsNotRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.replicas[1].Voter, w.replicas[2].Voter = true, true
		w.replicas[0].data[leaves[1]] = 99
		w.fault = func(call, node string) error {
			if call == "accuse" {
				time.AfterFunc(2*time.Second, func() { w.set(func() { w.leader = 0 }) })
			}
			return nil
		}
		w.fault = func(call, node string) error { w.set(func() { w.leader = 0 }); return nil }
		if r := w.check(mending); one(t, r).Action != RepairFailed || w.calls["repair"] != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// What was suspected of a replica and is not so (a read that failed once) is lifted by a check that read it.
func TestGroundlessSuspicionIsLifted(t *testing.T) {
	for name, s := range map[string]*Suspicion{
		"leaf":     {Since: time.Now(), Why: "CRC", Leaves: leaves[:1]},
		"disputed": {Since: time.Now(), Why: "two say two things", Leaves: leaves[:1], Disputed: true},
		"whole":    {Since: time.Now(), Why: "structure"},
	} {
		w := newWorld(t, 3)
		w.replicas[1].Suspect, w.replicas[1].doubts = s, s.Leaves
		r := w.check(Options{Quick: true})
		if !r.Equal || r.Damaged || w.replicas[1].Suspect != nil || w.total("reread", "inspect") == 0 {
			t.Errorf("%s: %+v %v", name, r, w.calls)
		}
	}
	w := newWorld(t, 3)
	w.replicas[1].Suspect, w.replicas[1].doubts = &Suspicion{Leaves: leaves[:1]}, leaves[:1]
	w.replicas[0].Why, w.replicas[2].Why = "down", "down"
	if r := w.check(Options{Deep: true}); r.Equal || w.replicas[1].Suspect == nil {
		t.Errorf("acquitted by nobody: %+v", r)
	}
	w = newWorld(t, 2)
	w.replicas[1].Suspect, w.replicas[1].doubts = &Suspicion{Leaves: leaves[:1]}, leaves[:1]
	w.replicas[0].Why = "down"
	if r := w.check(Options{Deep: true}); r.Equal || w.replicas[1].Suspect == nil {
		t.Errorf("acquitted by half of the voters, itself: %+v", r)
	}
}
