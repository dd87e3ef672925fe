package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// checksAgree fails when the checks promise something else of an entry than what Apply does.
func checksAgree(t testing.TB, data []byte, applied error) {
	t.Helper()
	write, frames := CheckWrite(data), CheckFrames(data)
	for _, err := range []error{write, frames} {
		if err != nil && !errors.Is(err, ErrBadCommand) {
			t.Fatalf("check of %x: %v", data, err)
		}
	}
	switch {
	case write == nil && (frames != nil || applied != nil):
		t.Fatalf("%x is a good write: frames %v, applied %v", data, frames, applied)
	case frames != nil && applied == nil:
		t.Fatalf("%x is applied: %v", data, frames)
	}
}

// Whatever happens to the bytes of an entry: what the checks let pass, Apply takes.
func TestWhatTheChecksLetPassIsApplied(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	apply := func(data []byte) error {
		return s.Apply([]Entry{{Index: s.Applied().Index + 1, Term: 1, Data: data}})[0]
	}
	put := AppendPut(nil, []Point{point("d", 5, "a", 1.5, "s", "x"), point("e", -5, "b", true, "i", 3), point("d", 5, "a", "text")})
	del := AppendDelete(nil, Delete{Series{"db", "c", "d"}, 1, 2})
	for name, data := range map[string][]byte{"put": put, "delete": del, "both": slices.Concat(put, del, put)} {
		if err := CheckWrite(data); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		checksAgree(t, data, apply(data))
		for n := range data {
			checksAgree(t, data[:n], apply(data[:n]))
		}
		r, bad := rand.New(rand.NewPCG(1, 1)), 0
		for range 2000 {
			changed := slices.Clone(data)
			changed[r.IntN(len(changed))] = byte(r.Uint32())
			err := apply(changed)
			checksAgree(t, changed, err)
			if err != nil {
				bad++
			}
		}
		if bad == 0 {
			t.Errorf("%s: no change of a byte was bad: the test tests nothing", name)
		}
	}
}

func TestChecksKnowTheKinds(t *testing.T) {
	for name, tt := range map[string]struct {
		data          []byte
		frames, write bool
	}{
		"nothing":      {nil, true, true},
		"retain":       {AppendRetain(nil, "db", 1), true, false},
		"cut":          {AppendCut(nil, Cut{ID: "x", TTL: 1}), true, false},
		"lease":        {AppendLease(nil, Lease{ID: "x", TTL: 1}), true, true},
		"end":          {AppendEnd(nil, "x"), true, true},
		"noop":         {AppendNoop(nil), true, true},
		"format":       {AppendFormatVersion(nil, 1), true, false},
		"later format": {AppendFormatVersion(nil, 200), false, false},
		"unknown kind": {[]byte{2, 99, 0}, false, false},
		"kind 0":       {[]byte{1, 0}, false, false},
		"no kind":      {[]byte{0}, false, false},
		"bad body":     {[]byte{2, byte(KindEnd), 9}, false, false},
		"bad row":      {[]byte{2, byte(KindPut), 0xff}, true, false},
		"bad behind":   {append(AppendDelete(nil, Delete{Series: Series{"db", "c", "d"}}), 1, 99), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := CheckFrames(tt.data); (err == nil) != tt.frames {
				t.Errorf("frames: %v", err)
			}
			if err := CheckWrite(tt.data); (err == nil) != tt.write {
				t.Errorf("write: %v", err)
			}
		})
	}
}

// BenchmarkCheck is what a proposal costs before it is queued (frames), and before that when it comes from another
// node (write).
func BenchmarkCheck(b *testing.B) {
	for name, check := range map[string]func([]byte) error{"frames": CheckFrames, "write": CheckWrite} {
		for _, points := range []int{1, 4, 40, 1000} {
			b.Run(fmt.Sprintf("%s/points=%d", name, points), func(b *testing.B) {
				frame := AppendPut(nil, newWalk(points).next())
				b.ReportAllocs()
				for b.Loop() {
					if err := check(frame); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*points), "ns/point")
			})
		}
	}
}
