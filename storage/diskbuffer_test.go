package storage

import (
	"fmt"
	"runtime"
	"testing"
)

// TestOpeningTakesLittleMemoryOfItsOwn: a node that copies opens file after file, and walks each. Pages may be so long that
// one begins where no gap would be read along.
func TestOpeningTakesLittleMemoryOfItsOwn(t *testing.T) {
	for _, blockBytes := range []int{24_000, 40_000} {
		t.Run(fmt.Sprintf("blocks of %d bytes", blockBytes), func(t *testing.T) {
			o := testOptions(t)
			s := mustOpen(t, o)
			for i := range int64(1_600_000 / blockBytes) {
				apply(t, s, AppendPut(nil, []Point{point("device", i*int64(testWindow), "v", fmt.Sprintf("%*d", blockBytes, i))}))
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			const opens = 8
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range opens {
				s := mustOpen(t, o)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			runtime.ReadMemStats(&after)
			if n := (after.TotalAlloc - before.TotalAlloc) / opens; n > (diskRunBytes+4*diskGap)*3/2 { // the race detector has pools forget some
				t.Errorf("%d bytes were made to open a file of 1.6 MB", n)
			}
		})
	}
}
