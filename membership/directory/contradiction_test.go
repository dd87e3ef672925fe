package directory

import "testing"

func TestVerdictOnASnapshotThatWasSent(t *testing.T) {
	last := entryID{index: 40, term: 3}
	for _, c := range []struct {
		name string
		e    installEvidence
		want verdict
	}{
		{"NothingAtItsIndex", installEvidence{last: last, applied: 10}, installAccept},
		{"EmptyReplica", installEvidence{last: last}, installAccept},
		{"TheSameEntryNotYetApplied", installEvidence{last: last, known: true, term: 3, applied: 39}, installAccept},
		{"TheSameEntryApplied", installEvidence{last: last, known: true, term: 3, applied: 40}, installHeld},
		{"AppliedAndTrimmed", installEvidence{last: last, applied: 50}, installHeld},
		{"AnEarlierTerm", installEvidence{last: last, known: true, term: 2, applied: 39}, installContradicts},
		{"ALaterTerm", installEvidence{last: last, known: true, term: 4, applied: 39}, installContradicts},
		{"AnotherTermApplied", installEvidence{last: last, known: true, term: 2, applied: 40}, installImpossible},
	} {
		if got := judgeInstall(c.e); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestFruitlessSnapshotsAreCounted(t *testing.T) {
	var p progress
	again := func(applied uint64, heard bool) bool {
		p.heard = heard
		return p.took(applied)
	}
	for range 3 * maxFruitless { // each brought something
		if !again(p.applied+1, true) {
			t.Fatal("a snapshot that brought something counts")
		}
	}
	for range 3 * maxFruitless { // the answers are lost
		if !again(p.applied, false) {
			t.Fatal("a snapshot that was sent twice counts")
		}
	}
	for i := range maxFruitless {
		if !again(p.applied, true) {
			t.Fatalf("stopped after %d", i+1)
		}
	}
	if again(p.applied, true) {
		t.Fatalf("%d snapshots without a rise, and it goes on", maxFruitless+1)
	}
}
