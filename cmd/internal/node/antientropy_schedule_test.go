package node

import (
	"testing"

	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

// A check that came at a bad moment is made again soon, and one of a group that this node leads no more counts for nothing.
func TestEndOfAScheduledCheck(t *testing.T) {
	s := newSchedule(nil)
	s.turns[7] = &antientropy.Turn{Group: 7}
	s.ended(scheduled{group: 7, passing: true})
	if turn := s.turns[7]; !turn.Soon || turn.Failures != 1 || turn.Tried.IsZero() {
		t.Errorf("a bad moment: %+v", turn)
	}
	s.ended(scheduled{group: 7})
	if turn := s.turns[7]; turn.Soon || turn.Failures != 2 {
		t.Errorf("a failure: %+v", turn)
	}
	s.ended(scheduled{group: 7, equal: true})
	if turn := s.turns[7]; turn.Failures != 0 {
		t.Errorf("a proof: %+v", turn)
	}
	s.ended(scheduled{group: 8, equal: true})
	if len(s.turns) != 1 || len(s.busy) != 0 {
		t.Errorf("%v %v", s.turns, s.busy)
	}
}
