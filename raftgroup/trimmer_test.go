package raftgroup

import (
	"testing"
	"time"
)

func TestPlanTrimTakesTheOldestOfAllGroups(t *testing.T) {
	t0 := time.Unix(1000, 0)
	at := func(minute int) time.Time { return t0.Add(time.Duration(minute) * time.Minute) }
	sizes := []logSize{
		{group: 1, first: 1, last: 100, bytes: 1000, marks: []mark{{at(0), 50}, {at(2), 100}}},
		{group: 2, first: 11, last: 20, bytes: 1000, marks: []mark{{at(1), 15}, {at(3), 20}}},
		{group: 3, first: 5, last: 4, bytes: 0, marks: []mark{{at(0), 4}}},
	}
	tests := []struct {
		name   string
		excess int64
		want   []trimStep
	}{
		{"NothingOver", 0, nil},
		{"OldestOnly", 400, []trimStep{{1, 50}}},
		{"NextOldestToo", 600, []trimStep{{1, 50}, {2, 15}}},
		{"MoreThanThereIs", 1 << 40, []trimStep{{1, 100}, {2, 20}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := planTrim(sizes, tt.excess)
			if len(got) != len(tt.want) {
				t.Fatalf("plan %+v, want %+v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("step %d is %+v, want %+v", i, got[i], tt.want[i])
				}
			}
		})
	}
}
