package blocks

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

// roundTrip encodes the canonical blocks of the points and decodes them.
func roundTrip(t *testing.T, points []point) {
	t.Helper()
	m := modelOf(points)
	c := built(points)
	var parts []*Columns
	for lo, hi := range c.Blocks() {
		b, err := EncodeRows(nil, c, lo, hi)
		if err != nil {
			t.Fatalf("encode rows %d to %d: %v", lo, hi, err)
		}
		part := new(Columns)
		if err := Decode(b, part); err != nil {
			t.Fatalf("decode rows %d to %d: %v", lo, hi, err)
		}
		parts = append(parts, part)
	}
	var out Columns
	Merge(&out, parts...)
	wantSame(t, &out, m)
}

func TestTimesFromLeastToGreatest(t *testing.T) {
	one := []Field{{"x", Int(1)}}
	for _, times := range [][]int64{
		{math.MinInt64}, {math.MaxInt64}, {math.MinInt64, math.MaxInt64}, {math.MinInt64, 0, math.MaxInt64},
		{math.MinInt64, math.MinInt64 + 1, math.MaxInt64 - 1, math.MaxInt64}, {-1, 0, 1}, {math.MinInt64, -1, math.MaxInt64},
	} {
		var points []point
		for _, at := range times {
			points = append(points, point{at, one})
		}
		roundTrip(t, points)
	}
}

func TestIntegersFromLeastToGreatest(t *testing.T) {
	var points []point
	for i := range 200 {
		v := hardInts[i*7%len(hardInts)]
		points = append(points, point{int64(i), []Field{{"i", Int(v)}, {"u", Uint(uint64(v))}, {"both", Int(v ^ int64(i))}}})
	}
	roundTrip(t, points)
}

func TestFloatsBitForBit(t *testing.T) {
	var alone, decimals []point
	for i, v := range hardFloats {
		alone = append(alone, point{int64(i), []Field{{"x", Float(v)}}})
		for j := range 20 {
			decimals = append(decimals, point{int64(20*i + j), []Field{{"x", Float(float64(100*i+j) / 100)}}})
		}
		decimals[20*i].fields = []Field{{"x", Float(v)}}
	}
	roundTrip(t, alone)
	roundTrip(t, decimals)
	for _, v := range hardFloats {
		roundTrip(t, []point{{7, []Field{{"x", Float(v)}}}})
	}
}

// -0.0 and the like are exceptions, also at the very start, and do not cost the whole column its scaling.
func TestExceptionsKeepAColumnScaled(t *testing.T) {
	var clean, excepted []point
	for i := range 400 {
		v := float64(2000+i*i%90) / 100
		clean = append(clean, point{int64(i), []Field{{"x", Float(v)}}})
		if i < 2 || i == 399 {
			v = math.Copysign(0, -1)
		}
		excepted = append(excepted, point{int64(i), []Field{{"x", Float(v)}}})
	}
	roundTrip(t, excepted)
	a, b := len(mustEncode(t, built(clean))), len(mustEncode(t, built(excepted)))
	if b > a+3*10+20 {
		t.Fatalf("%d bytes with three exceptions, %d without", b, a)
	}
}

func Test256FieldsAndLongTexts(t *testing.T) {
	var points []point
	for i := range 4 {
		p := point{time: int64(i)}
		for f := range 256 {
			name := strings.Repeat(fmt.Sprintf("%02x", f), 128) // 256 bytes, the longest name
			p.fields = append(p.fields, Field{name, []Value{Int(int64(f)), Float(float64(f) / 10), Text(name)}[(f+i)%3]})
		}
		p.fields[7].Value = Text(strings.Repeat("\xff\x00é", 64<<10/4))
		points = append(points, p)
	}
	roundTrip(t, points)
}

// The canonical cut keeps every block within its bounds, and a long series of texts or of many fields still fits.
func TestCutIntoBlocks(t *testing.T) {
	big := strings.Repeat("x", 64<<10)
	var rows, texts, fields []point
	for i := range 2*MaxRows + 10 {
		rows = append(rows, point{int64(i), []Field{{"x", Int(int64(i))}}})
	}
	for i := range 40 {
		texts = append(texts, point{int64(i), []Field{{"x", Text(big[:len(big)-i])}}})
	}
	for i := range 1200 {
		fields = append(fields, point{int64(i), []Field{{fmt.Sprint("own-", i), Int(int64(i))}, {"x", Int(1)}}})
	}
	count := func(points []point) (n int) {
		for lo, hi := range built(points).Blocks() {
			if hi <= lo || hi-lo > MaxRows {
				t.Fatalf("block of rows %d to %d", lo, hi)
			}
			n++
		}
		return n
	}
	if n := count(rows); n != 3 {
		t.Errorf("%d blocks of rows, want 3", n)
	}
	if n := count(texts); n != 3 { // 1 MiB is 16 texts of 64 KiB, and one to pass it
		t.Errorf("%d blocks of texts, want 3", n)
	}
	if n := count(fields); n != 2 { // about 1023 rows of as many columns reach MaxCells
		t.Errorf("%d blocks of fields, want 2", n)
	}
	roundTrip(t, texts)
	roundTrip(t, fields)
	if _, err := Encode(nil, built(rows)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too many rows: %v", err)
	}
	if b, err := Encode([]byte("kept"), built(fields)); !errors.Is(err, ErrTooLarge) || string(b) != "kept" {
		t.Errorf("too many cells: %q, %v", b, err)
	}
}

// A column that lives elsewhere in the series does not move the cut: it depends on the points of the block.
func TestCutDoesNotSeeAbsentColumns(t *testing.T) {
	c := walk(2*MaxRows, 1)
	var want, got [][2]int
	for lo, hi := range c.Blocks() {
		want = append(want, [2]int{lo, hi})
	}
	for i := range 400 {
		c.Cols = append(c.Cols, Column{Name: fmt.Sprintf("z%03d", i), Kind: Int64, Present: NewBitmap(c.Len()), Nums: make([]uint64, c.Len())})
	}
	for lo, hi := range c.Blocks() {
		got = append(got, [2]int{lo, hi})
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if b, err := EncodeRows(nil, c, 0, MaxRows); err != nil || len(b) == 0 {
		t.Fatalf("columns without rows count against the bound: %v", err)
	}
}

func TestEncodeRefusesBrokenColumns(t *testing.T) {
	two := []uint64{1, 2}
	for name, c := range map[string]*Columns{
		"times repeat":      {Times: []int64{1, 1}},
		"times fall":        {Times: []int64{2, 1}},
		"entries missing":   {Times: []int64{1, 2}, Cols: []Column{{Name: "a", Kind: Int64, Nums: two[:1]}}},
		"texts missing":     {Times: []int64{1, 2}, Cols: []Column{{Name: "a", Kind: String, Nums: two}}},
		"unknown kind":      {Times: []int64{1, 2}, Cols: []Column{{Name: "a", Kind: 6, Nums: two}}},
		"column twice":      {Times: []int64{1, 2}, Cols: []Column{{Name: "a", Kind: Int64, Nums: two}, {Name: "a", Kind: Int64, Nums: two}}},
		"columns unsorted":  {Times: []int64{1, 2}, Cols: []Column{{Name: "b", Kind: Int64, Nums: two}, {Name: "a", Kind: Int64, Nums: two}}},
		"two kinds a row":   {Times: []int64{1, 2}, Cols: []Column{{Name: "a", Kind: Int64, Nums: two}, {Name: "a", Kind: Uint64, Nums: two}}},
		"bitmap too short":  {Times: []int64{1, 2}, Cols: []Column{{Name: "a", Kind: Int64, Nums: two, Present: Bitmap{}}}},
		"bits beyond a row": {Times: []int64{1, 2}, Cols: []Column{{Name: "a", Kind: Int64, Nums: two, Present: Bitmap{7}}}},
	} {
		if b, err := Encode([]byte("kept"), c); !errors.Is(err, ErrInvalid) || string(b) != "kept" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
		if err := c.Check(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: check: %v", name, err)
		}
	}
	for _, rows := range [][2]int{{-1, 1}, {2, 1}, {0, 4}} {
		if _, err := EncodeRows(nil, walk(3, 1), rows[0], rows[1]); !errors.Is(err, ErrInvalid) {
			t.Errorf("rows %v: %v", rows, err)
		}
	}
}
