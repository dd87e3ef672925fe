package antientropy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Every call of a check, interrupted once: nothing is left behind, and the check is made again and does its work.
func TestInterruptedAnywhereIsMadeAgain(t *testing.T) {
	for _, call := range []string{"members", "cut", "root", "leaves", "reread", "inspect", "repair", "accuse", "acquit", "end", "detail", "renew"} {
		for _, why := range []error{ErrMoved, ErrNotPinned, errors.New("connection broke")} {
			for nth := 1; nth <= 3; nth++ {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, 3)
					w.replicas[1].data[leaves[1]] = 99
					var n atomic.Int64
					w.fault = func(c, node string) error {
						if c == call && n.Add(1) == int64(nth) {
							return fmt.Errorf("%s: %w", c, why)
						}
						return nil
					}
					o := Options{Repair: true, Deep: call == "inspect"}
					r, err := w.engine().Check(t.Context(), 7, o)
					if err != nil {
						t.Errorf("%v", err)
					}
					w.after(r)
					w.fault = nil
					if r.Equal && w.replicas[1].Suspect != nil && call != "acquit" {
						t.Errorf("%s: equal and suspect", call)
					}
					if passes(why) && call != "repair" && call != "accuse" && !r.Equal {
						t.Errorf("%s %d, %v: %+v", call, nth, why, r)
					}
					if r = w.check(o); !r.Equal || w.replicas[1].Suspect != nil || !w.replicas[1].right(w.truth) {
						t.Errorf("%s %d, %v, the next check: %+v", call, nth, why, r)
					}
				})
			}
		}
	}
}

// Before anybody is blamed the group has to be the one that was judged.
func TestLeaderChangesBeforeTheBlame(t *testing.T) {
	accused := newWorld(t, 3) // its leader is wrong, and hands over by itself meanwhile
	accused.replicas[0].data[leaves[1]] = 99
	accused.fault = func(call, _ string) error {
		if call == "reread" {
			accused.set(func() { accused.leader = 1 })
		}
		return nil
	}
	if r := accused.check(mending); r.Attempts != 1 || !r.Repaired || !r.Equal {
		t.Errorf("the leader that is blamed: %+v", r)
	}
	for name, change := range map[string]func(w *world){
		"leader":   func(w *world) { w.leader = 2 },
		"no votes": func(w *world) { w.replicas[2].Voter = false },
		"another":  func(w *world) { w.replicas[2].Server = "n3.0.1" },
		"fewer":    func(w *world) { w.replicas = w.replicas[:2] },
	} {
		w := newWorld(t, 3)
		w.replicas[1].data[leaves[1]] = 99
		once := true
		w.fault = func(call, node string) error {
			if call == "reread" && once {
				once = false
				w.set(func() { change(w) })
			}
			return nil
		}
		r := w.check(Options{})
		if r.Attempts != 2 || !r.Damaged {
			t.Errorf("%s: %+v", name, r)
		}
	}
	w := newWorld(t, 3)
	w.replicas[1].data[leaves[1]] = 99
	w.fault = func(call, node string) error {
		if call == "reread" && node == "n1" {
			w.set(func() { w.leader = 2 - w.leader }) // n1 and n3 by turns, neither of which is wrong
		}
		return nil
	}
	if r := w.check(mending); r.Attempts != maxAttempts || r.Damaged || r.Unchecked == "" || !r.Passing || w.total("accuse", "repair") != 0 {
		t.Errorf("again and again: %+v", r)
	}
}

func TestEndedCheckLeavesNothing(t *testing.T) {
	for _, call := range []string{"members", "standing", "cut", "root", "leaves", "reread", "accuse", "detail", "repair", "acquit"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 3)
			w.replicas[1].data[leaves[1]] = 99
			ctx, cancel := context.WithCancel(t.Context())
			w.fault = func(c, node string) error {
				if c == call {
					cancel()
				}
				return nil
			}
			r, err := w.engine().Check(ctx, 7, Options{Quick: true, Repair: true})
			if call != "acquit" && (!errors.Is(err, context.Canceled) || r.Equal || r.Unchecked == "") {
				t.Errorf("%s: %+v %v", call, r, err)
			}
			w.fault = nil
			w.after(r)
			if r = w.check(mending); !r.Equal || w.replicas[1].Suspect != nil {
				t.Errorf("%s, again: %+v", call, r)
			}
		})
	}
}

// Reading everything takes longer than the views live by themselves.
func TestViewsAreProlongedWhileALongCheckReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.fault = func(call, node string) error {
			if call == "inspect" && node == "n2" {
				time.Sleep(10 * RenewEvery)
			}
			return nil
		}
		if r := w.check(Options{Deep: true}); !r.Equal || w.calls["renew"] < 9 {
			t.Errorf("%d renewals, %+v", w.calls["renew"], r)
		}
	})
}

// The views are lost under a check: it does not wait for what will never come, and is made again.
func TestViewsAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.fault = func(call, node string) error {
			switch {
			case call == "renew" && w.made == 1:
				return ErrNotPinned
			case call == "inspect" && w.made == 1 && node == "n1":
				time.Sleep(RenewEvery + time.Second)
			}
			return nil
		}
		if r := w.check(Options{Deep: true}); !r.Equal || r.Attempts != 2 || len(w.cuts) > 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestOneCheckOfAGroupAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3)
		w.replicas[1].data[leaves[1]] = 99
		e := w.engine()
		done := make(chan Report, 4)
		for range cap(done) {
			go func() {
				r, err := e.Check(t.Context(), 7, mending)
				if err != nil {
					t.Error(err)
				}
				done <- r
			}()
		}
		repaired := 0
		for range cap(done) {
			if r := <-done; r.Repaired {
				repaired++
			} else if !r.Equal {
				t.Errorf("%+v", r)
			}
		}
		if repaired != 1 || len(e.groups.keys)+len(e.nodes.keys) != 0 {
			t.Errorf("repaired %d times, %d keys kept", repaired, len(e.groups.keys))
		}
		w.after(Report{})
	})
}

// Groups whose bad replicas are on one node are mended a few at a time.
func TestSoManyRepairsOfANodeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		groups := manyGroups{make(map[uint32]*world)}
		e, err := New(Config{Cluster: groups, Logger: newWorld(t, 1).engine().config.Logger, PerNode: 2})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan Report, 8)
		for g := range uint32(cap(done)) {
			w := newWorld(t, 3)
			w.replicas[1].data[leaves[1]] = 99
			groups.of[g] = w
		}
		began := time.Now()
		for g := range groups.of {
			go func() { r, _ := e.Check(t.Context(), g, mending); done <- r }()
		}
		for range cap(done) {
			if r := <-done; !r.Repaired {
				t.Errorf("%+v", r)
			}
		}
		if took := time.Since(began); took < 4*time.Second || took > 5*time.Second {
			t.Errorf("eight repairs of a second each, two at once, took %v", took)
		}
	})
}

// What comes up about a replica while it is repaired, by another check or a read, outlives that repair's acquittal.
func TestAcquittalIsOfWhatWasLookedAtAlone(t *testing.T) {
	w := newWorld(t, 3)
	w.replicas[1].data[leaves[1]] = 99
	w.fault = func(call, node string) error {
		if call == "acquit" {
			w.set(func() {
				h := w.replicas[1]
				s := *h.Suspect
				s.Leaves = append(slices.Clone(s.Leaves), leaves[2])
				h.Suspect = &s
			})
		}
		return nil
	}
	if r := w.check(Options{Repair: true}); !r.Repaired {
		t.Errorf("%+v", r)
	}
	if s := w.replicas[1].Suspect; s == nil || !slices.Equal(s.Leaves, leaves[2:3]) {
		t.Errorf("what is held against it: %+v", s)
	}
	w.fault = nil
	if r := w.check(Options{Repair: true}); !r.Equal || w.replicas[1].Suspect != nil {
		t.Errorf("the next check: %+v", r)
	}
}
