package storage

import (
	"fmt"
	"runtime"
	"testing"
)

// TestOpeningTakesLittleMemoryOfItsOwn: a node that copies opens file after file, and walks each.
func TestOpeningTakesLittleMemoryOfItsOwn(t *testing.T) {
	o := testOptions(t)
	s := mustOpen(t, o)
	for i := range int64(200) { // three of 8 KB a block
		apply(t, s, AppendPut(nil, []Point{point("device", i/3*int64(testWindow)+i, "v", fmt.Sprintf("%8000d", i))}))
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
}
