package blocks

import "testing"

// What the apply and read paths do per block must not allocate per point.
func TestNothingIsAllocatedPerPoint(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop at random")
	}
	c, later := walk(4000, 1), walk(4000, 2)
	for i := range later.Times {
		later.Times[i] += tick / 2
	}
	block := mustEncode(t, c)
	var dst, out Columns
	buf := make([]byte, 0, 2*len(block))
	fields := []Field{{"humidity", Float(1)}, {"pressure", Float(2)}, {"temperature", Float(3)}}
	var b Builder
	next := int64(0)
	for name, tc := range map[string]struct {
		limit float64
		do    func()
	}{
		"encode": {2, func() { buf, _ = Encode(buf[:0], c) }},
		"decode": {2, func() { _ = Decode(block, &out) }},
		"merge":  {4, func() { Merge(&dst, c, later) }},
		"append": {12, func() {
			for range 4000 {
				b.Append(next, fields)
				next++
			}
		}},
	} {
		tc.do()
		if n := testing.AllocsPerRun(20, tc.do); n > tc.limit {
			t.Errorf("%s: %.0f allocations for 4000 points or more, want at most %.0f", name, n, tc.limit)
		}
	}
}
