package digest

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

var update = flag.Bool("update", false, "write the golden vectors anew: only with a new layout or block format")

const goldenFile = "../../testdata/golden/digest/vectors-1.txt"

// block is the canonical block of n readings from a time on.
func block(t testing.TB, from int64, n int) []byte {
	t.Helper()
	var b blocks.Builder
	for i := range int64(n) {
		b.Append(from+i, []blocks.Field{{Name: "x", Value: blocks.Int(from * i)}})
	}
	out, err := blocks.Encode(nil, b.Columns())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// part is a series and its blocks.
type part struct {
	key    string
	blocks [][]byte
}

// leafOf digests the parts and returns the leaf bytes beside.
func leafOf(t testing.TB, leaf Leaf, version uint32, parts ...part) (LeafDigest, []byte) {
	t.Helper()
	var out bytes.Buffer
	h := NewLeafWriter(&out, leaf, version)
	for _, p := range parts {
		if err := h.Series([]byte(p.key)); err != nil {
			t.Fatal(err)
		}
		for _, b := range p.blocks {
			if err := h.Block(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	d, err := h.Sum()
	if err != nil {
		t.Fatal(err)
	}
	return d, out.Bytes()
}

func TestVectorsAreThoseOfTheGoldenFile(t *testing.T) {
	one, two := block(t, 5, 3), block(t, 9, 1)
	var text strings.Builder
	var entries []Entry
	for _, tc := range []struct {
		leaf    Leaf
		version uint32
		parts   []part
	}{
		{Leaf{0, 0}, 1, nil},
		{Leaf{0, 0}, 1, []part{{"a", [][]byte{one}}}},
		{Leaf{19700, 15}, 1, []part{{"a", [][]byte{one, two}}}},
		{Leaf{-1, 7}, 1, []part{{"a", [][]byte{one}}, {"b", [][]byte{two}}}},
		{Leaf{math.MinInt64, 1}, 2, []part{{"", [][]byte{two}}}},
		{Leaf{math.MaxInt64, 1}, 1, []part{{"\x00\xff", [][]byte{one}}}},
	} {
		d, _ := leafOf(t, tc.leaf, tc.version, tc.parts...)
		fmt.Fprintf(&text, "leaf %s format %d series %d: %s points %d bytes %d\n", tc.leaf, tc.version, len(tc.parts), d.ID, d.Points, d.Bytes)
		fmt.Fprintf(&text, "root of the first %d: %s\n", len(entries), Root(entries))
		entries = append(entries, Entry{tc.leaf, d})
	}
	fmt.Fprintf(&text, "root of all: %s\n", Root(entries))
	if *update {
		if err := os.MkdirAll(filepath.Dir(goldenFile), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(goldenFile, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Fatalf("got\n%swant\n%s", text.String(), want)
	}
}
