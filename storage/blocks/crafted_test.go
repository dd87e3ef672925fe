package blocks

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// join makes bytes of bytes, ints (one byte each) and uint64s (uvarint).
func join(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = append(b, byte(p))
		case uint64:
			b = binary.AppendUvarint(b, p)
		case []byte:
			b = append(b, p...)
		case string:
			b = append(b, p...)
		}
	}
	return b
}

// column is a column of the name x.
func column(tag int, payload ...any) []byte {
	p := join(payload...)
	return join(1, "x", tag, uint64(len(p)), p)
}

// One rule broken at a time, behind a CRC that holds. Every good neighbour decodes, so that the reason is the one named.
func TestEachBrokenRuleIsRefused(t *testing.T) {
	first := binary.LittleEndian.AppendUint64(nil, 100)
	last := binary.LittleEndian.AppendUint64(nil, math.MaxInt64-1)
	times := join(first, uint64(10), uint64(2), 0, 0, 2) // 100, 110, 120: plain deltas of 1, width 0
	block := func(rows int, times []byte, cols ...[]byte) []byte {
		return join(FormatVersion, uint64(rows), times, uint64(len(cols)), slices.Concat(cols...))
	}
	i64, f64, text, boolean := int(Int64), int(Float64), int(String), int(Bool)
	xor := int(formXOR) << tagFormShift
	xorOf := func(second uint64, n int) []byte { // word 5, then these bits, then a word that repeats
		w := bitWriter{dst: binary.LittleEndian.AppendUint64(nil, 5)}
		w.put(second, n)
		w.put(0, 1)
		return w.close()
	}
	nan := binary.LittleEndian.AppendUint64(nil, math.Float64bits(math.NaN()))
	good := column(i64, 0, 4)
	for name, tc := range map[string]struct {
		good bool
		b    []byte
	}{
		"plain":                       {true, block(3, times, good)},
		"no rows, but something":      {false, []byte{FormatVersion, 0, 0}},
		"rows one too many":           {false, block(MaxRows+1, times, good)},
		"rows more than the times":    {false, block(4, times, good)},
		"step 0":                      {false, block(3, join(first, uint64(0), uint64(2), 0, 0, 2), good)},
		"delta 0":                     {false, block(3, join(first, uint64(10), uint64(2), 1, 0, 0, 4), good)},
		"deltas past the span":        {false, block(3, join(first, uint64(10), uint64(2), 0, 0, 4), good)},
		"deltas that wrap around":     {false, block(3, join(first, uint64(10), uint64(2), 0, 3, 1, 4<<3), good)},
		"deltas short of the span":    {false, block(3, join(first, uint64(10), uint64(3), 0, 0, 2), good)},
		"span past 64 bits":           {false, block(3, join(first, uint64(1)<<63, uint64(2), 0, 0, 2), good)},
		"span past the last int64":    {false, block(3, join(last, uint64(1), uint64(2), 0, 0, 2), good)},
		"span to the last int64":      {true, block(2, join(last, uint64(1), uint64(1), 0, 0, 2), good)},
		"times of no form":            {false, block(3, join(first, uint64(10), uint64(2), 4, 0, 2), good)},
		"long uvarint":                {false, block(3, join(first, uint64(10), 0x82, 0, 0, 0, 2), good)},
		"behind the columns":          {false, join(block(3, times, good), 0)},
		"column missing":              {false, join(FormatVersion, 3, times, 2, good)},
		"column twice":                {false, block(3, times, good, good)},
		"kinds fall":                  {false, block(3, times, column(int(Uint64)|tagSparse, bitsRaw, 1, 0, 4), column(i64|tagSparse, bitsRaw, 2, 0, 4))},
		"kinds rise":                  {true, block(3, times, column(i64|tagSparse, bitsRaw, 2, 0, 4), column(int(Uint64)|tagSparse, bitsRaw, 1, 0, 4))},
		"kinds meet in a row":         {false, block(3, times, column(i64|tagSparse, bitsRaw, 3, 0, 4), column(int(Uint64)|tagSparse, bitsRaw, 1, 0, 4))},
		"kind 0":                      {false, block(3, times, column(0, 0, 4))},
		"kind 6":                      {false, block(3, times, column(6, 0, 4))},
		"unused tag bit":              {false, block(3, times, column(i64|tagUnused, 0, 4))},
		"scaled integers":             {false, block(3, times, column(i64|tagScaled, 0, 0, 4))},
		"behind the values":           {false, block(3, times, column(i64, 0, 4, 0))},
		"values missing":              {false, block(3, times, column(i64, 8, 4, 1, 2))},
		"width 64":                    {true, block(3, times, column(i64, 64, 4, make([]byte, 24)))},
		"width 65":                    {false, block(3, times, column(i64, 65, 4, make([]byte, 25)))},
		"present nowhere":             {false, block(3, times, column(i64|tagSparse, bitsRaw, 0))},
		"sparse, but everywhere":      {false, block(3, times, column(i64|tagSparse, bitsRaw, 7, 0, 4))},
		"presence of no mode":         {false, block(3, times, column(i64|tagSparse, 2, 3, 0, 4))},
		"bits beyond the rows":        {false, block(3, times, column(i64|tagSparse, bitsRaw, 9, 0, 4))},
		"runs":                        {true, block(3, times, column(i64|tagSparse, bitsRuns, 0, 1, 2, 0, 4))},
		"runs past the rows":          {false, block(3, times, column(i64|tagSparse, bitsRuns, 0, 1, 3, 0, 4))},
		"empty run inside":            {false, block(3, times, column(i64|tagSparse, bitsRuns, 1, 0, 1, 1, 0, 4))},
		"bool with a form":            {false, block(3, times, column(boolean|1<<tagFormShift, bitsRaw, 5))},
		"bool":                        {true, block(3, times, column(boolean, bitsRaw, 5))},
		"bool bits beyond the rows":   {false, block(3, times, column(boolean, bitsRaw, 13))},
		"xor":                         {true, block(3, times, column(i64|xor, xorOf(3|60<<2|3<<8|9<<14, 18)))},
		"xor window past 64 bits":     {false, block(3, times, column(i64|xor, xorOf(3|60<<2|4<<8|9<<14, 19)))},
		"xor window before there is":  {false, block(3, times, column(i64|xor, xorOf(1, 2)))},
		"xor ends early":              {false, block(3, times, column(i64|xor, make([]byte, 8)))},
		"scaled":                      {true, block(3, times, column(f64|tagScaled, 15, 0, 4))},
		"exponent 16":                 {false, block(3, times, column(f64|tagScaled, 16, 0, 4))},
		"exception":                   {true, block(3, times, column(f64|tagScaled, 2|exponentExcept, 1, 2, nan, 0, 4))},
		"exception past the rows":     {false, block(3, times, column(f64|tagScaled, 2|exponentExcept, 1, 3, nan, 0, 4))},
		"exceptions past the rows":    {false, block(3, times, column(f64|tagScaled, 2|exponentExcept, 2, 2, nan, 0, nan, 0, 4))},
		"exception far past the rows": {false, block(3, times, column(f64|tagScaled, 2|exponentExcept, 2, 2, nan, uint64(math.MaxUint64), nan, 0, 4))},
		"no exceptions, but the mark": {false, block(3, times, column(f64|tagScaled, 2|exponentExcept, 0, 0, 4))},
		"texts":                       {true, block(3, times, column(text, 2, 1, 0, "a", widthSameMin|1, 2))},
		"text of no entry":            {false, block(3, times, column(text, 2, 1, 0, "a", 0, 4))},
		"no entries":                  {false, block(3, times, column(text, 0, widthSameMin))},
		"entries past the rows":       {false, block(3, times, column(text, 4, 0, 0, 0, 0, widthSameMin))},
		"entries past the bytes":      {false, block(3, times, column(text, 3, 1, 1, 1, "a"))},
		"text past the bytes":         {false, block(3, times, column(text, 1, 9, widthSameMin))},
	} {
		var c Columns
		err := Decode(sealed(tc.b), &c)
		if tc.good && err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !tc.good && !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, %+v", name, err, c)
		}
		wantSound(t, sealed(tc.b))
	}
	unwanted := func(string) bool { return false }
	if err := DecodeFields(sealed(block(3, times, good, good)), new(Columns), unwanted); !errors.Is(err, ErrCorrupt) {
		t.Errorf("column twice, not wanted: %v", err)
	}
	if err := Decode(block(3, times, good), new(Columns)); !errors.Is(err, ErrCorrupt) {
		t.Errorf("no CRC: %v", err)
	}
}

// Every width, order and length of a group, at every place of a buffer that ends with the stream.
func TestEveryWidthOfAStream(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for width := range 65 {
		for _, n := range []int{1, 2, 3, 7, 63, 64, 65, 130} {
			v := make([]uint64, n)
			for i := range v {
				v[i] = rng.Uint64() & lowBits(width)
			}
			v[0], v[n-1] = 0, lowBits(width)
			for f := formPlain; f < forms; f++ {
				b := appendStream(nil, f, v)
				size := xorSize(v, math.MaxInt/8)
				if f != formXOR {
					size = packedSize(v, int(f))
				}
				if size != len(b) {
					t.Fatalf("width %d, %d values, form %d: sized %d, written %d", width, n, f, size, len(b))
				}
				for _, tail := range [][]byte{nil, {0xff}, slices.Repeat([]byte{0xff}, 20)} {
					got := make([]uint64, n)
					rest, ok := readStream(append(slices.Clip(b), tail...), f, got)
					if !ok || !slices.Equal(got, v) || !slices.Equal(rest, tail) {
						t.Fatalf("width %d, %d values, form %d, tail of %d: %v\ngot  %x\nwant %x", width, n, f, len(tail), ok, got, v)
					}
				}
				if _, ok := readStream(b[:len(b)-1], f, make([]uint64, n)); ok {
					t.Fatalf("width %d, %d values, form %d: read from a byte too few", width, n, f)
				}
			}
		}
	}
}
