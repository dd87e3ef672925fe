package blocks

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew: only with a new FormatVersion")

const goldenDir = "../../testdata/golden/blocks"

// goldenCases are points of every kind, coding and bound. Files of a version stay when the next version comes.
func goldenCases() map[string]*Columns {
	var hard, ints, text, sparse, mixed, repeat, smooth, wide Builder
	for i, v := range hardFloats {
		hard.Append(int64(i)*int64(i), []Field{{"x", Float(v)}})
	}
	for i, v := range hardInts {
		ints.Append(slices.Sorted(slices.Values(hardInts))[i], []Field{{"i", Int(v)}, {"u", Uint(uint64(v))}, {"b", Boolean(v < 0)}})
	}
	for i := range 300 {
		text.Append(int64(i)*tick, []Field{{"long", Text(strings.Repeat("x", i*i%90))}, {"mode", Text([]string{"", "on", "off"}[i/7%3])}})
		fields := []Field{{"always", Int(int64(i % 5))}}
		if i%3 == 0 {
			fields = append(fields, Field{"third", Float(float64(i) / 8)})
		}
		if i > 200 {
			fields = append(fields, Field{"late", Boolean(i%2 == 0)}, Field{"word", Text("late")})
		}
		sparse.Append(int64(i)*1_000_003+int64(i%7), fields)
		mixed.Append(-int64(i), []Field{{"f", []Value{Int(1), Float(1), Uint(1), Boolean(true), Text("1")}[i%5]}})
		smooth.Append(int64(i), []Field{{"root", Float(math.Sqrt(float64(100000 + i)))}, {"line", Float(float64(i+300) * math.Pi)}})
		v := float64(i/40) / 4
		if i%50 == 9 {
			v = math.Copysign(0, -1)
		}
		repeat.Append(int64(i), []Field{{"set point", Float(v)}, {"third", Float(float64(i/100) / 3)}, {"seldom", Int(int64(i) / 150)}})
	}
	for i := range 256 {
		wide.Append(0, []Field{{fmt.Sprintf("field-%03d", i), Int(int64(i))}})
	}
	return map[string]*Columns{"empty": {}, "one-row": walk(1, 1), "two-rows": walk(2, 1), "walk": walk(500, 1), "full": walk(MaxRows, 2),
		"noise": noise(640), "hard-floats": hard.Columns(), "hard-ints": ints.Columns(), "text": text.Columns(),
		"sparse": sparse.Columns(), "mixed-kinds": mixed.Columns(), "repeats": repeat.Columns(), "smooth": smooth.Columns(),
		"256-fields": wide.Columns(),
		"no-columns": {Times: []int64{1, 2, 4}}}
}

func TestBlocksAreThoseOfTheGoldenFiles(t *testing.T) {
	for name, c := range goldenCases() {
		path := filepath.Join(goldenDir, fmt.Sprintf("v%d-%s.block", FormatVersion, name))
		got := mustEncode(t, c)
		if *update {
			if err := os.MkdirAll(goldenDir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: encoded to %d bytes that differ from the file's %d: a change of format needs a new FormatVersion", name, len(got), len(want))
		}
		var out Columns
		if err := Decode(want, &out); err != nil || !Equal(&out, c) {
			t.Errorf("%s: the file does not hold the points of the case: %v", name, err)
		}
	}
}

// Files of every version that was ever written are opened.
func TestEveryGoldenFileOpens(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(goldenDir, "*.block"))
	if err != nil || len(files) < len(goldenCases()) {
		t.Fatalf("%d golden files: %v", len(files), err)
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var c Columns
		if err := Decode(b, &c); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// All forms and codings are in the golden files, or they would prove less than they seem to.
func TestGoldenCasesUseEveryForm(t *testing.T) {
	seen := map[byte]bool{}
	for _, c := range goldenCases() {
		b := mustEncode(t, c)
		_, body, err := open(b)
		if err != nil || c.Len() == 0 {
			continue
		}
		times, deltas := make([]int64, c.Len()), make([]uint64, MaxRows)
		rest, _ := readTimes(body, times, deltas)
		cols, rest, _ := readUvarint(rest)
		for range cols {
			var tag byte
			_, tag, _, rest, _ = readColumnHead(rest)
			seen[tag] = true
		}
	}
	for _, scaled := range []byte{0, tagScaled} {
		for f := formPlain; f < forms; f++ {
			if tag := byte(Float64) | byte(f)<<tagFormShift | scaled; !seen[tag] && !seen[tag|tagSparse] && tag != byte(Float64)|byte(formDelta2)<<tagFormShift {
				t.Errorf("no golden case with a float column of form %d, scaled %v", f, scaled != 0)
			}
		}
	}
	for k := Int64; k <= String; k++ {
		found := false
		for tag := range seen {
			found = found || Kind(tag&tagKindMask) == k
		}
		if !found {
			t.Errorf("no golden case with kind %s", k)
		}
	}
}
