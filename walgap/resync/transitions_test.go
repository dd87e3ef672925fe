package resync

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/walgap"
)

// firstPoint runs a fault once, at the first point of a stage.
func (r *rig) firstPoint(s Stage, fault func()) {
	done := false
	r.at = func(at Stage, point string) {
		if at == s && point == infoOf(s).Points[0] && !done {
			done = true
			fault()
		}
	}
}

// brand makes the target a new replica: all stages are passed, and promote waits.
func (r *rig) brand() {
	r.wiped()
	r.target.member, r.target.voter = false, false
}

// breakAt has a stage fail once, at its own work, with err.
func (r *rig) breakAt(s Stage, err error) {
	method := map[Stage]string{Plan: "report", Hold: "hold", Explore: "contents", Replay: "progress", Promote: "progress"}[s]
	in, failed := Stage(0), false
	once := map[Stage]func(){
		Cut:     func() { r.faults.cuts = maxLeaderErrs },
		Fetch:   func() { r.faults.fetch = func(string, int) error { return err } },
		Install: func() { r.faults.install = err },
	}
	r.at = func(at Stage, point string) {
		if in = at; at == s && once[s] != nil && !failed {
			failed = true
			once[s]()
		}
		if at == Plan {
			r.faults.install, r.faults.fetch = nil, nil
		}
	}
	r.faults.replica = func(m string) error {
		if m != method || failed || in != s && s != Plan {
			return nil
		}
		failed = true
		return err
	}
}

// scenarios lead through each transition. Those that any stage may take are generated.
func scenarios() map[Transition]func(t *testing.T, r *rig) {
	table := map[Transition]func(t *testing.T, r *rig){}
	add := func(from Stage, on Outcome, scenario func(t *testing.T, r *rig)) {
		t, err := Next(from, on)
		if err != nil {
			panic(err)
		}
		table[t] = scenario
	}
	done := func(set func(r *rig)) func(*testing.T, *rig) {
		return func(t *testing.T, r *rig) { set(r); r.mustBe(r.run(request7()), Done) }
	}
	dry := func(set func(r *rig)) func(*testing.T, *rig) {
		return func(t *testing.T, r *rig) { set(r); r.dryRun(t, walgap.Auto) }
	}
	stale := func(r *rig) { r.stale(10) }
	add(Plan, Bridgeable, done(func(r *rig) { r.fall(3) }))
	add(Plan, Equal, done(func(r *rig) {}))
	add(Plan, Compared, dry(stale))
	add(Explore, Priced, dry(stale))
	add(Plan, Priced, dry(func(r *rig) { r.fall(3) }))
	add(Plan, Refused, func(t *testing.T, r *rig) { r.target.dismissed = true; r.mustBe(r.run(request7()), Failed) })
	for _, s := range []Stage{Plan, Hold, Cut, Explore, Fetch, Install, Replay, Promote, Ending} {
		add(s, Passed, done(func(r *rig) { r.brand() }))
	}
	add(Explore, ViewLost, done(func(r *rig) { stale(r); r.firstPoint(Explore, func() {}); r.faults.views = 1 }))
	add(Fetch, ViewLost, done(func(r *rig) { stale(r); r.firstPoint(Fetch, r.loseViews) }))
	add(Install, ViewLost, done(func(r *rig) { stale(r); r.firstPoint(Install, r.loseViews) }))
	add(Install, KnowsMore, done(func(r *rig) { stale(r); r.faults.knows = 1 }))
	add(Install, Unproven, done(func(r *rig) {
		stale(r)
		r.faults.rot = suspects(leavesOf(r.dataAt(r.last()).entries()[:1]))
	}))
	for _, s := range []Stage{Plan, Hold, Cut, Explore, Fetch, Install, Replay, Promote} {
		prepare := func(r *rig) {
			if stale(r); s == Promote {
				r.target.voter, r.target.addedAt = false, time.Now()
			}
		}
		if s != Plan {
			add(s, Moved, done(func(r *rig) { prepare(r); r.moveIn(s) }))
		}
		add(s, Broken, done(func(r *rig) { prepare(r); r.breakAt(s, errors.New("out of luck")) }))
		add(s, Exhausted, func(t *testing.T, r *rig) {
			prepare(r)
			r.breakAt(s, errors.New("out of luck"))
			q := request7()
			q.MaxAttempts = 1
			r.mustBe(r.run(q), Failed)
		})
		add(s, Cancel, func(t *testing.T, r *rig) {
			prepare(r)
			r.firstPoint(s, func() { r.cancel() })
			r.mustBe(r.run(request7()), Cancelled)
		})
		if s != Promote {
			add(s, NoRoom, func(t *testing.T, r *rig) {
				if s == Plan { // one that leads to a copy writes nothing
					r.fall(3)
				} else {
					prepare(r)
				}
				r.fillAt(s)
				r.mustBe(r.run(request7()), Failed)
			})
		}
	}
	return table
}

// moveIn changes the leader in a stage, so that it is this stage that learns of it.
func (r *rig) moveIn(s Stage) {
	if s == Hold { // it asks nobody: a renewal tells
		r.faults.slow = time.Minute
	}
	before, moved := s, false
	if s == Explore { // its first point is behind its calls, and it has none where the cut brings the manifest along
		before, r.faults.listing = Cut, 2*listingSoon
	}
	r.at = func(at Stage, point string) {
		if points := infoOf(before).Points; moved || at != before || s == Explore && point != points[len(points)-1] {
			return
		}
		moved = true
		r.elect(1 - r.leader)
		if s == Hold {
			go func() { // the second hold is quick
				_ = pause.For(r.t.Context(), 20*time.Second)
				r.set(func() { r.faults.slow = 0 })
			}()
		}
		if s == Fetch {
			r.faults.fetch = func(string, int) error { r.loseTime(); return nil }
		}
		if s == Replay { // it asks nobody either
			r.set(func() { r.faults.behind = time.Now().Add(20 * time.Second) })
		}
		if s == Promote {
			r.target.addedAt = time.Now().Add(time.Minute)
		}
	}
}

// loseTime lets the renewals run, once.
func (r *rig) loseTime() {
	r.faults.fetch = nil
	_ = pause.For(r.t.Context(), 20*time.Second)
}

// fillAt makes the disk full in a stage.
func (r *rig) fillAt(s Stage) {
	full := &errorOf{syscall.ENOSPC}
	switch s {
	case Hold, Explore:
		r.breakAt(s, full)
	case Fetch:
		r.faults.room = 1500
	case Install:
		r.breakAt(s, full)
	case Replay:
		r.breakAt(s, full)
	case Plan:
		r.at = func(at Stage, point string) {
			if at == Plan && point == "asked" {
				r.faults.write = full
			}
		}
	case Cut:
		r.at = func(at Stage, point string) {
			if at == Hold && point == "held" {
				r.faults.write = full
			}
		}
	}
}

type errorOf struct{ err error }

func (e *errorOf) Error() string { return "write: " + e.err.Error() }
func (e *errorOf) Unwrap() error { return e.err }

func TestEveryTransitionIsTaken(t *testing.T) {
	table := scenarios()
	for _, row := range Transitions {
		t.Run(fmt.Sprintf("%s after %s", row.On, row.From), func(t *testing.T) {
			scenario := table[row]
			if scenario == nil {
				t.Fatal("no scenario leads through it")
			}
			inWorld(t, func(t *testing.T, r *rig) {
				scenario(t, r)
				if r.taken[row] == 0 {
					t.Fatalf("not taken; taken were %v", r.taken)
				}
			})
		})
	}
	for row := range table {
		if !slices.Contains(Transitions, row) {
			t.Errorf("a scenario for %+v, which is no transition", row)
		}
	}
}

// The table itself: each stage has one row for each outcome, a bound, points, and a way to the end.
func TestTableIsWhole(t *testing.T) {
	seen := map[[2]uint8]bool{}
	reach := map[Stage]bool{Plan: true}
	for range Transitions {
		for _, row := range Transitions {
			if reach[row.From] {
				reach[row.To] = true
			}
		}
	}
	for _, row := range Transitions {
		key := [2]uint8{uint8(row.From), uint8(row.On)}
		if seen[key] {
			t.Errorf("two rows for %s after %s", row.On, row.From)
		}
		seen[key] = true
		if (row.To == Ending) != (row.End != "") || row.To == Ending && !row.End.Final() {
			t.Errorf("%s after %s ends as %q", row.On, row.From, row.End)
		}
	}
	for s := Plan; s <= Ending; s++ {
		i := infoOf(s)
		if i.Idle <= 0 || len(i.Points) == 0 {
			t.Errorf("stage %s has no bound or no crash point", s)
		}
		if !reach[s] {
			t.Errorf("stage %s is never reached", s)
		}
		for o := Passed; o <= Cancel; o++ {
			to, err := Next(s, o)
			if err == nil && to.To == 0 {
				t.Errorf("%s after %s leads nowhere", o, s)
			}
		}
	}
	if !reach[Ended] {
		t.Error("no job ends")
	}
}
