package resync

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/storage/digest"
	"pgregory.net/rapid"
)

// A job ends within this, whatever happens: three attempts of stages that have their bounds.
const endsWithin = 4 * time.Hour

// happening is one fault of a random script: what happens at the n-th crash point that is passed.
type happening struct {
	n    int
	name string
}

// what can happen, at any point.
var happenings = map[string]func(r *rig){
	"kill":   func(r *rig) { r.kill() },
	"cancel": func(r *rig) { r.cancel() },
	"trim":   func(r *rig) { r.trim() }, "lose views": func(r *rig) { r.loseViews() },
	"elect": func(r *rig) { r.elect(1) }, "elect the first": func(r *rig) { r.elect(0) },
	"no leader":         func(r *rig) { r.set(func() { r.leader = -1 }) },
	"leader for a time": func(r *rig) { r.set(func() { r.leader = -1 }); time.AfterFunc(90*time.Second, func() { r.elect(1) }) },
	"alone":             func(r *rig) { r.set(func() { r.alone = true }) },
	"not alone":         func(r *rig) { r.set(func() { r.alone = false }) },
	"epoch":             func(r *rig) { r.set(func() { r.epoch++ }) },
	"lineage":           func(r *rig) { r.set(func() { r.lineage += "'" }) },
	"write":             func(r *rig) { r.set(func() { r.write(3, len(r.entries)) }) },
	"dismissed":         func(r *rig) { r.set(func() { r.target.dismissed = true }) },
	"stopped": func(r *rig) {
		r.set(func() { r.target.running = false })
		time.AfterFunc(time.Minute, func() { r.set(func() { r.target.running = true }) })
	},
	"no room":    func(r *rig) { r.set(func() { r.faults.room = 3000 }) },
	"aborts":     func(r *rig) { r.set(func() { r.faults.aborts = 5 }) },
	"busy":       func(r *rig) { r.set(func() { r.faults.busy = 9 }) },
	"knows more": func(r *rig) { r.set(func() { r.faults.knows = 1 }) },
	"wrong":      func(r *rig) { r.set(func() { r.faults.wrong = !r.faults.wrong }) },
	"install":    func(r *rig) { r.set(func() { r.faults.install = errors.New("cannot rename") }) },
	"uninstall":  func(r *rig) { r.set(func() { r.faults.install = nil }) },
	"lie":        func(r *rig) { r.set(func() { r.faults.fetch = func(string, int) error { return errLie } }) },
	"honest":     func(r *rig) { r.set(func() { r.faults.fetch = nil }) },
	"slow":       func(r *rig) { r.set(func() { r.slowly(7 * time.Second) }) },
	"rot": func(r *rig) {
		r.set(func() { r.faults.rot = map[digest.Leaf]bool{r.dataAt(r.last()).entries()[0].Leaf: true} })
	},
	"lost answers": func(r *rig) {
		n := atomic.Int64{}
		r.set(func() {
			r.faults.call = func(op) (error, error) {
				if n.Add(1)%4 == 0 {
					return nil, errNobody
				}
				return nil, nil
			}
		})
	},
}

// Whatever happens: the job ends in bounded time; when it is final its leases are over, its staging is gone and the
// replica runs; what was installed was proven and is the cut. What is not excused by what happened ends done.
func TestWhateverHappensTheJobEnds(t *testing.T) {
	names := make([]string, 0, len(happenings))
	for name := range happenings {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(rt *rapid.T) {
		gap := rapid.SampledFrom(gaps).Draw(rt, "gap")
		script := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) happening {
			return happening{rapid.IntRange(0, 30).Draw(rt, "at"), rapid.SampledFrom(names).Draw(rt, "what")}
		}), 0, 6).Draw(rt, "script")
		if failure := play(t, gap.set, script); failure != "" {
			rt.Fatalf("%s", failure)
		}
	})
}

// play runs a script, and says what was wrong.
func play(t *testing.T, gap func(*rig), script []happening) (failure string) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		notes := &notebook{TB: t}
		r := &rig{world: newWorld(t), dir: filepath.Join(dir, "staging"), passed: map[string]int{}, taken: map[Transition]int{}}
		r.world.t = notes
		defer r.close()
		gap(r)
		before, n := r.target.data, 0
		r.at = func(Stage, string) {
			now := n
			n++
			for _, h := range script {
				if h.n == now {
					happenings[h.name](r)
				}
			}
		}
		began := time.Now()
		result := r.run(request7())
		if took := time.Since(began); took > endsWithin || !result.Status.Final() {
			notes.Errorf("%s after %v", result.Status, took)
		}
		if result.Status != Done && r.target.installs == 0 && r.target.lineage == "l1" && !before.equal(r.target.data) && r.target.applied < 40 {
			notes.Errorf("%s, and the old state is another one", result.Status)
		}
		if len(script) == 0 && result.Status != Done {
			notes.Errorf("nothing happened, and the job is %s: %v", result.Status, result.Err)
		}
		for _, v := range r.violations {
			notes.Errorf("%s", v)
		}
		_ = pause.For(t.Context(), 3*time.Minute) // what the script started ends
		failure = notes.text
	})
	return failure
}

// notebook is a test that notes its failures, for scripts that are made smaller.
type notebook struct {
	testing.TB
	text string
}

func (n *notebook) Errorf(format string, args ...any) { n.text += fmt.Sprintf(format, args...) + "\n" }
func (n *notebook) Error(args ...any)                 { n.text += fmt.Sprintln(args...) }
func (n *notebook) Fatalf(format string, args ...any) { n.Errorf(format, args...) }
func (n *notebook) Fatal(args ...any)                 { n.Error(args...) }

// A job that had waited for a leader for longer than a lease lasts took the one that it had just got for one that had run
// out (found by the test above).
func TestLeaseThatWaitedForALeaderHasAllItsTime(t *testing.T) {
	script := []happening{{0, "alone"}, {0, "leader for a time"}, {3, "lineage"}}
	if failure := play(t, gaps[0].set, script); failure != "" {
		t.Error(failure)
	}
}
