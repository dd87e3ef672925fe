package resync

import (
	"maps"
	"slices"
	"testing"
)

// What a job of little data costs is what it asks, what it puts into the log, and how often it writes its state: with 256
// groups that is most of a copy.
func TestCostOfACopy(t *testing.T) {
	inWorld(t, func(t *testing.T, r *rig) {
		r.stale(10)
		asked, before := map[op]int{}, r.last()
		r.faults.call = func(o op) (_, _ error) { asked[o]++; return nil, nil }
		if r.mustBe(r.run(request7()), Done); r.target.installs != 1 {
			t.Fatalf("%d installs", r.target.installs)
		}
		want := map[op]int{opPlan: 1, opCut: 1, opChallenge: 1, opProve: 1, opEnd: 1}
		if !maps.Equal(asked, want) {
			t.Errorf("asked %v, want %v", asked, want)
		}
		if entries := r.last() - before; entries != 3 {
			t.Errorf("%d entries: want the cut with the lease, its no-op, and the end", entries)
		}
		if r.writes > 5 {
			t.Errorf("the state was written %d times", r.writes)
		}
		t.Logf("%d calls, %d writes of the state", len(slices.Collect(maps.Keys(asked))), r.writes)
	})
}
