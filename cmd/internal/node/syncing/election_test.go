package syncing

import (
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/walgap"
)

func TestWhatIsWrittenAfterAStartWasNotMissed(t *testing.T) {
	leader := walgap.Leader{First: 1, Last: 90, Terms: []walgap.TermRun{{First: 1, Term: 2}, {First: 41, Term: 3}, {First: 49, Term: 4}, {First: 51, Term: 5}}}
	for _, tt := range []struct {
		last        uint64
		ledFor, ago time.Duration
		want        bool
	}{
		{50, time.Second, 2 * time.Second, true},
		{50, 2 * time.Second, time.Second, false}, // it was led while the replica was away
		{49, time.Second, 2 * time.Second, false}, // it has half of a term that no leader begins with
		{48, time.Second, 2 * time.Second, true},  // somebody led for a moment
		{40, time.Second, 2 * time.Second, false}, // entries of before are missing
		{50, 0, 2 * time.Second, false},
		{50, time.Second, 0, false}, // a report of now
	} {
		if got := writtenSince(leader, tt.ledFor, walgap.Target{First: 1, Last: tt.last}, tt.ago); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
	leader.Last = 52
	if target := (walgap.Target{First: 1, Last: 48}); !onlyElection(leader, target) {
		t.Error("two elections in a row are taken for writes")
	}
	if leader.Last++; onlyElection(leader, walgap.Target{First: 1, Last: 50}) {
		t.Error("a write is taken for an election")
	}
}
