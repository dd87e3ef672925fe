package node

import (
	"testing"
	"time"
)

func TestDiskFullTurnsBackOnlyAboveTwiceTheReserve(t *testing.T) {
	full := false
	for i, step := range []struct {
		free int64
		want bool
	}{{101, false}, {100, false}, {99, true}, {150, true}, {200, true}, {201, false}, {100, false}, {0, true}} {
		if full = diskFull(full, step.free, 100); full != step.want {
			t.Fatalf("step %d, %d free of a reserve of 100: full %v", i, step.free, full)
		}
	}
}

func TestMajorityOffset(t *testing.T) {
	const s = time.Second
	for _, c := range []struct {
		ahead []time.Duration // of us, against each node, ourselves included
		want  time.Duration
	}{
		{[]time.Duration{0}, 0},
		{[]time.Duration{0, 9 * s}, 0},            // one against one: nobody is the majority
		{[]time.Duration{0, 9 * s, 8 * s}, 8 * s}, // we are far off
		{[]time.Duration{0, 0, -9 * s}, 0},        // another one is
		{[]time.Duration{0, -7 * s, -8 * s, -9 * s, 0}, -7 * s},
	} {
		if got := majorityOffset(c.ahead); got != c.want {
			t.Errorf("%v: %v, want %v", c.ahead, got, c.want)
		}
	}
}
