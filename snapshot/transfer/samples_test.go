package transfer

import (
	"bytes"
	"crypto/rand"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// Messages that do not compress are looked at ever more rarely, at most maxSampleGap are sent between two looks, and after the
// first one that compresses all are.
func TestSamplesAreTakenMoreRarelyWhereTheyDoNotPay(t *testing.T) {
	noise := make([]byte, sampleBytes)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	even := bytes.Repeat([]byte("21.5"), sampleBytes/4)
	e := newEncoder().(*zstd.Encoder)
	var s samples
	var looks []int
	for i := range 200 {
		rest := s.rest
		if frame := s.compress(e, [][]byte{noise}, len(noise)); frame != nil {
			t.Fatalf("noise was compressed to %d of %d bytes", len(frame), len(noise))
		}
		if rest == 0 {
			looks = append(looks, i)
		}
	}
	if want := []int{0, 2, 5, 10, 19, 36, 69, 102, 135, 168}; !slices.Equal(looks, want) {
		t.Fatalf("samples were taken of messages %v, want %v", looks, want)
	}
	sent := 0
	for s.compress(e, [][]byte{even}, len(even)) == nil {
		if sent++; sent > maxSampleGap {
			t.Fatalf("%d messages that compress went uncompressed", sent)
		}
	}
	for i := range 3 {
		if s.compress(e, [][]byte{even}, len(even)) == nil {
			t.Fatalf("message %d after one that compressed was not", i)
		}
	}
}
