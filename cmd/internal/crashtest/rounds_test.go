package crashtest

import (
	"testing"

	"golang.org/x/sync/errgroup"
)

// ackedEachRound is what a round must have acknowledged at least before the kill.
const ackedEachRound = 500

// I1: an acked write is readable after any minority fails, or all processes are killed at once. One and all take
// turns, and every point that any round acknowledged is read back in each.
func TestI1KillOneThenAllUnderLoad(t *testing.T) {
	r := newRig(t, plan{nodes: 3, devices: 300, rate: 1500})
	for round := range rounds(20) {
		before := r.ledger.Acked()
		r.resume()
		r.awaitAcks(ackedEachRound)
		if round%2 == 0 {
			r.killOne(round / 2 % 3)
		} else {
			r.killAll()
		}
		report := r.check("after the round")
		t.Logf("round %d: %d acked in it; %s", round+1, r.ledger.Acked()-before, report)
		if report.Acked != r.ledger.Acked() {
			t.Fatalf("the check has seen %d acked points of %d", report.Acked, r.ledger.Acked())
		}
	}
	r.verify()
}

// killOne kills a node in mid-write, lets the others go on, reads everything from them, and brings it back.
func (r *rig) killOne(i int) {
	r.t.Helper()
	victim := r.Processes[i]
	must(r.t, victim.Kill())
	r.awaitAcks(ackedEachRound)
	r.check("with "+victim.Name+" dead", r.Processes[(i+1)%3], r.Processes[(i+2)%3])
	r.start()
}

// killAll kills all nodes in mid-write and brings them back.
func (r *rig) killAll() {
	r.t.Helper()
	var g errgroup.Group
	for _, p := range r.Processes {
		g.Go(p.Kill)
	}
	must(r.t, g.Wait())
	r.pause()
	r.start()
}
