package raftlog

import (
	"errors"
	"testing"
)

func TestDecideDelete(t *testing.T) {
	const first, last = 10, 20
	cases := []struct {
		name                      string
		from, to, snapshot, floor uint64
		want                      deletion
	}{
		{"compaction", 10, 15, 15, 100, deletion{first: 16, compaction: true}},
		{"compaction of all", 10, 20, 20, 100, deletion{first: 21, compaction: true}},
		{"compaction from below", 1, 15, 15, 100, deletion{first: 16, compaction: true}},
		{"floor inside", 10, 15, 18, 13, deletion{first: 13, compaction: true}},
		{"floor at the first", 10, 15, 18, 10, deletion{compaction: true}},
		{"no floor known", 10, 15, 18, 0, deletion{compaction: true}},
		{"compaction that would leave a hole", 12, 15, 18, 100, deletion{err: ErrNotSuffix}},
		{"compaction of what is gone", 1, 9, 18, 100, deletion{compaction: true}},
		{"truncation", 15, 20, 9, 0, deletion{next: 15}},
		{"truncation of all", 10, 20, 9, 0, deletion{next: 10}},
		{"truncation from below", 5, 25, 0, 0, deletion{next: 10}},
		{"truncation that would leave a hole", 15, 19, 9, 0, deletion{err: ErrNotSuffix}},
		{"truncation of applied entries", 15, 20, 15, 100, deletion{err: ErrBelowSnapshot}},
		{"truncation above the log", 21, 25, 9, 0, deletion{}},
		{"nothing", 15, 14, 0, 0, deletion{}},
	}
	for _, c := range cases {
		got := decideDelete(c.from, c.to, first, last, c.snapshot, c.floor)
		if !errors.Is(got.err, c.want.err) {
			t.Errorf("%s: error %v, want %v", c.name, got.err, c.want.err)
		}
		got.err, c.want.err = nil, nil
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
