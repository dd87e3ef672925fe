package raftgroup

import (
	"testing"
	"time"
)

func TestContactCountsOnlyWhatIsApplied(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	type heard struct {
		second          int
		commit, applied uint64
	}
	cases := []struct {
		name    string
		heard   []heard
		applied uint64 // when asked
		want    int    // second of the last contact; -1: none
	}{
		{"NothingHeard", nil, 9, -1},
		{"AppliedBefore", []heard{{1, 5, 5}}, 5, 1},
		{"JustStartedAndBehind", []heard{{1, 5, 0}, {2, 5, 3}}, 4, -1},
		{"AppliedLater", []heard{{1, 5, 4}}, 5, 1},
		{"TheOldestThatWaitsIsProvenFirst", []heard{{1, 5, 4}, {2, 7, 4}}, 6, 1},
		{"AStreamOfThemIsProvenOnTheWay", []heard{{1, 5, 4}, {2, 7, 5}, {3, 9, 7}}, 8, 2},
		{"BehindAgain", []heard{{1, 5, 5}, {2, 9, 5}}, 8, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var k contact
			for _, h := range c.heard {
				k.appended(h.commit, h.applied, at(h.second))
			}
			got, want := k.last(c.applied), time.Time{}
			if c.want >= 0 {
				want = at(c.want)
			}
			if !got.Equal(want) {
				t.Errorf("last contact %v, want %v", got, want)
			}
		})
	}
}
