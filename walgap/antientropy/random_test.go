package antientropy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
	"pgregory.net/rapid"
)

// damages are what can be wrong with a replica, in a leaf.
var damages = map[string]func(h *replica, leaf digest.Leaf){
	"other content": func(h *replica, leaf digest.Leaf) { h.data[leaf] = 77 },
	"another other": func(h *replica, leaf digest.Leaf) { h.data[leaf] = 78 },
	"lost":          func(h *replica, leaf digest.Leaf) { delete(h.data, leaf) },
	"not deleted":   func(h *replica, _ digest.Leaf) { h.data[digest.Leaf{Window: 50}] = 1 },
	"rotten": func(h *replica, leaf digest.Leaf) {
		if h.data[leaf] != 0 {
			h.rotten[leaf] = true
		}
	},
	"rotten, known": func(h *replica, leaf digest.Leaf) {
		if h.data[leaf] != 0 {
			h.rotten[leaf], h.doubts = true, []digest.Leaf{leaf}
		}
	},
	"record": func(h *replica, leaf digest.Leaf) {
		if h.data[leaf] != 0 {
			h.record[leaf] = 66
		}
	},
	"doubted": func(h *replica, leaf digest.Leaf) {
		h.doubts, h.Suspect = []digest.Leaf{leaf}, &Suspicion{Since: time.Now(), Why: "a read", Leaves: []digest.Leaf{leaf}}
	},
	"structure": func(h *replica, _ digest.Leaf) { h.structure = "freelist" },
	"log":       func(h *replica, _ digest.Leaf) { h.log = []LogDamage{{Why: "record 7"}} },
	"free":      func(h *replica, _ digest.Leaf) { h.harmless = []string{"page 9"} },
	"down":      func(h *replica, _ digest.Leaf) { h.Why = "the node is down" },
	"behind":    func(h *replica, _ digest.Leaf) { h.index = 12 },
	"restored":  func(h *replica, _ digest.Leaf) { h.lineage = "l2" },
	"learner":   func(h *replica, _ digest.Leaf) { h.Voter = false },
}

// events are what can happen during a check.
var events = map[string]func(w *world, cancel func()) error{
	"broken":     func(*world, func()) error { return errors.New("connection broke") },
	"moved":      func(*world, func()) error { return ErrMoved },
	"not pinned": func(*world, func()) error { return ErrNotPinned },
	"views lost": func(w *world, _ func()) error { w.set(func() { clear(w.cuts) }); return nil },
	"elected": func(w *world, _ func()) error {
		w.set(func() { w.leader = (w.leader + 1) % len(w.replicas) })
		return nil
	},
	"ended": func(_ *world, cancel func()) error { cancel(); return nil },
	"slow":  func(*world, func()) error { time.Sleep(2 * time.Minute); return nil },
	"crash": func(w *world, _ func()) error {
		w.set(func() { w.replicas[len(w.replicas)-1].Why = "down" })
		return nil
	},
	"back": func(w *world, _ func()) error { w.set(func() { w.replicas[len(w.replicas)-1].Why = "" }); return nil },
	"write": func(w *world, _ func()) error {
		w.set(func() {
			w.index++
			written := digest.Leaf{Window: 60}
			w.truth[written]++
			for _, h := range w.replicas {
				if h.index == 0 && h.lineage == "l1" {
					h.data[written] = w.truth[written]
				}
			}
		})
		return nil
	},
}

func draw(rt *rapid.T, from []string, most int, what string) []string {
	return rapid.SliceOfN(rapid.SampledFrom(from), 0, most).Draw(rt, what)
}

// Whatever is wrong with the replicas, and whatever happens during the checks: what the fakes and `after` watch for does
// not happen. No healthy replica of a healthy majority is accused, repaired, or copied over; nothing wrong is copied; only
// what is right is trusted again, called equal, or called repaired; no cut is left. And when it is over: with a healthy
// majority, and all there, checks that repair bring everything to equality.
func TestWhateverHappensTheMajorityKeepsEveryByte(t *testing.T) {
	damageNames, eventNames := slices.Sorted(maps.Keys(damages)), slices.Sorted(maps.Keys(events))
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(rt, "replicas")
		sick := make([][]string, n)
		where := make([]int, n)
		for i := range n {
			if rapid.IntRange(0, 2).Draw(rt, "sick") == 0 {
				sick[i] = draw(rt, damageNames, 3, "damage")
			}
			where[i] = rapid.IntRange(0, len(leaves)-1).Draw(rt, "leaf")
		}
		leader := rapid.IntRange(0, n-1).Draw(rt, "leader")
		options := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Options {
			return Options{
				Mode:  rapid.SampledFrom([]Mode{AdvancedVerify, Verify}).Draw(rt, "mode"),
				Quick: rapid.Bool().Draw(rt, "quick"), Deep: rapid.Bool().Draw(rt, "deep"), Repair: rapid.Bool().Draw(rt, "repair"),
			}
		}), 1, 3).Draw(rt, "options")
		script := map[int]string{}
		for _, e := range draw(rt, eventNames, 4, "events") {
			script[rapid.IntRange(1, 60).Draw(rt, "at")] = e
		}
		if failure := play(t, func(w *world) {
			w.leader = leader
			for i, h := range w.replicas {
				for _, d := range sick[i] {
					damages[d](h, leaves[where[i]])
				}
			}
		}, n, options, script); failure != "" {
			rt.Fatal(failure)
		}
	})
}

// play runs some checks in a world, and says what was wrong.
func play(t *testing.T, damage func(*world), n int, options []Options, script map[int]string) (failure string) {
	synctest.Test(t, func(t *testing.T) {
		notes := &notebook{TB: t}
		w := newWorld(notes, n)
		damage(w)
		w.eventful = len(script) > 0
		e, calls := w.engine(), 0
		for _, o := range options {
			ctx, cancel := context.WithCancel(t.Context())
			w.fault = func(string, string) error {
				w.mu.Lock()
				calls++
				event := script[calls]
				w.mu.Unlock()
				if event == "" {
					return nil
				}
				return events[event](w, cancel)
			}
			r, err := e.Check(ctx, 7, o)
			cancel()
			if len(script) > 0 {
				clear(w.cuts) // one that could not be ended ends by its time
			}
			if err != nil && !errors.Is(err, context.Canceled) {
				notes.Errorf("check: %v", err)
			}
			w.after(r)
			if r.Unchecked == "" && !r.Equal && r.FindingsTotal == 0 {
				notes.Errorf("neither equal nor damaged nor unchecked: %+v", r)
			}
		}
		w.fault = nil
		w.recover(t, e, notes)
		failure = notes.text
	})
	return failure
}

// recover brings everybody back, and makes checks until all are equal, if a healthy majority can make them so.
func (w *world) recover(t *testing.T, e *Engine, notes *notebook) {
	sound := 0
	w.set(func() {
		for _, h := range w.replicas {
			h.Why, h.index, h.lineage = "", 0, "l1"
			if h.Voter && h.right(w.truth) {
				sound++
			}
		}
	})
	voters := 0
	for i, h := range w.replicas {
		if h.Voter {
			voters++
		}
		if h.Voter && h.right(w.truth) {
			w.set(func() { w.leader = i })
		}
	}
	if 2*sound <= voters {
		return
	}
	var r Report
	for range 3 {
		r, _ = e.Check(t.Context(), 7, Options{Deep: true, Repair: true})
		w.after(r)
		if r.Equal {
			break
		}
	}
	r, _ = e.Check(t.Context(), 7, Options{Quick: true})
	w.after(r)
	if !r.Equal || r.Damaged || r.Attempts != 1 {
		notes.Errorf("not equal in the end: %+v", r)
	}
	for _, h := range w.replicas {
		if !h.right(w.truth) || h.Suspect != nil {
			notes.Errorf("in the end: %+v", h)
		}
	}
}

// notebook is a test that notes its failures, for scripts that are made smaller.
type notebook struct {
	testing.TB
	text string
}

func (n *notebook) Helper()                           {}
func (n *notebook) Errorf(format string, args ...any) { n.text += fmt.Sprintf(format, args...) + "\n" }
func (n *notebook) Error(args ...any)                 { n.text += fmt.Sprintln(args...) }

// The same damage gives the same findings whoever leads.
func TestLeaderHasNoWeight(t *testing.T) {
	names := slices.Sorted(maps.Keys(damages))
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(2, 5).Draw(rt, "replicas")
		sick := make([][]string, n)
		for i := range n {
			sick[i] = draw(rt, names, 2, "damage")
		}
		deep := rapid.Bool().Draw(rt, "deep")
		var first string
		for leader := range n {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, n)
				w.leader = leader
				for i, h := range w.replicas {
					for _, d := range sick[i] {
						damages[d](h, leaves[1])
					}
				}
				r, err := w.engine().Check(t.Context(), 7, Options{Deep: deep})
				if err != nil {
					t.Error(err)
				}
				var lines []string
				for _, f := range r.Findings {
					lines = append(lines, fmt.Sprintf("%s %s %s %v", f.Node, f.Kind, f.Verdict, f.Leaf))
				}
				slices.Sort(lines)
				got := fmt.Sprintf("%q %v %v %s", lines, r.Equal, r.Missing, r.Unchecked)
				if first == "" {
					first = got
				}
				if got != first {
					rt.Errorf("n1 leads: %s\nn%d leads: %s", first, leader+1, got)
				}
			})
		}
	})
}
