package blocks

import (
	"maps"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// model is the plain meaning of Columns: time -> field -> value.
type model map[int64]map[string]Value

// point is one Append.
type point struct {
	time   int64
	fields []Field
}

func (m model) put(p point) {
	row := m[p.time]
	if row == nil {
		row = map[string]Value{}
		m[p.time] = row
	}
	for _, f := range p.fields {
		row[f.Name] = f.Value
	}
}

func (m model) deleteRange(from, to int64) {
	maps.DeleteFunc(m, func(t int64, _ map[string]Value) bool { return from <= t && t < to })
}

func modelOf(points []point) model {
	m := model{}
	for _, p := range points {
		m.put(p)
	}
	return m
}

// columns builds the Columns of a model by hand, without Builder or Merge.
func (m model) columns() *Columns {
	c := &Columns{Times: slices.Sorted(maps.Keys(m))}
	keys := map[columnKey]bool{}
	for _, row := range m {
		for name, v := range row {
			keys[columnKey{name, v.Kind}] = true
		}
	}
	sorted := slices.SortedFunc(maps.Keys(keys), func(a, b columnKey) int {
		return compareColumns(&Column{Name: a.name, Kind: a.kind}, &Column{Name: b.name, Kind: b.kind})
	})
	for _, k := range sorted {
		col := Column{Name: k.name, Kind: k.kind, Present: NewBitmap(len(c.Times))}
		for row, t := range c.Times {
			v, ok := m[t][k.name]
			if ok = ok && v.Kind == k.kind; ok {
				col.Present.Set(row)
			} else {
				v = Value{}
			}
			if k.kind == String {
				col.Strs = append(col.Strs, v.Str)
			} else {
				col.Nums = append(col.Nums, v.Num)
			}
		}
		c.Cols = append(c.Cols, col)
	}
	return c
}

// modelFrom reads Columns back.
func modelFrom(c *Columns) model {
	m := model{}
	for row, t := range c.Times {
		m[t] = map[string]Value{}
		for name, v := range c.Row(row) {
			m[t][name] = v
		}
	}
	return m
}

func (m model) equal(o model) bool {
	return maps.EqualFunc(m, o, func(a, b map[string]Value) bool { return maps.Equal(a, b) })
}

type failer interface {
	Helper()
	Fatalf(string, ...any)
}

// wantSame fails unless c is well formed, spelled in the one way, and holds the points of m.
func wantSame(t failer, c *Columns, m model) {
	t.Helper()
	if err := c.Check(); err != nil {
		t.Fatalf("%v\n%+v", err, c)
	}
	if got := modelFrom(c); !got.equal(m) {
		t.Fatalf("got  %v\nwant %v", got, m)
	}
	for i := range c.Cols {
		col := &c.Cols[i]
		if n := col.Present.Count(c.Len()); col.Present != nil && (n == 0 || n == c.Len()) {
			t.Fatalf("column %q is not normal: %d of %d rows", col.Name, n, c.Len())
		}
		for row := range c.Len() {
			if col.Has(row) {
				continue
			}
			if col.Kind == String && col.Strs[row] != "" || col.Kind != String && col.Nums[row] != 0 {
				t.Fatalf("column %q: absent row %d is not zero", col.Name, row)
			}
		}
	}
}

func mustEncode(t failer, c *Columns) []byte {
	t.Helper()
	b, err := Encode(nil, c)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return b
}

var hardFloats = []float64{0, math.Copysign(0, -1), 1, -1, 0.1, 0.2, 0.1 + 0.2, 21.37, -273.15, 1e15, 1e16, 1e300, 1e-300,
	math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, -math.SmallestNonzeroFloat64, 2.2250738585072014e-308,
	math.Inf(1), math.Inf(-1), math.NaN(), math.Float64frombits(0x7ff0000000000001), 1 << 53, 1<<53 + 2, -(1 << 53), 1.0 / 3}

var hardInts = []int64{0, 1, -1, math.MaxInt64, math.MinInt64, math.MaxInt64 - 1, math.MinInt64 + 1, 1 << 31, -(1 << 31)}

func genValue(t *rapid.T) Value {
	switch rapid.IntRange(0, 9).Draw(t, "value") {
	case 0:
		return Float(rapid.SampledFrom(hardFloats).Draw(t, "hard float"))
	case 1:
		return Float(math.Float64frombits(rapid.Uint64().Draw(t, "float bits")))
	case 2, 3:
		return Float(float64(rapid.IntRange(-1000, 100000).Draw(t, "hundredths")) / 100)
	case 4:
		return Int(rapid.SampledFrom(hardInts).Draw(t, "hard int"))
	case 5:
		return Int(rapid.Int64().Draw(t, "int"))
	case 6:
		return Uint(rapid.Uint64().Draw(t, "uint"))
	case 7:
		return Boolean(rapid.Bool().Draw(t, "bool"))
	case 8:
		return Text(rapid.SampledFrom([]string{"", "on", "off", "\x00\xff"}).Draw(t, "word"))
	}
	return Text(rapid.String().Draw(t, "text"))
}

func genTime(t *rapid.T) int64 {
	switch rapid.IntRange(0, 4).Draw(t, "time") {
	case 0:
		return rapid.SampledFrom(hardInts).Draw(t, "hard time")
	case 1:
		return rapid.Int64().Draw(t, "any time")
	case 2:
		return 1_700_000_000_000_000_000 + 10_000_000_000*rapid.Int64Range(0, 300).Draw(t, "tick")
	}
	return rapid.Int64Range(-20, 20).Draw(t, "near time")
}

// genPoints draws points that often meet in time, and fields that often change their kind.
func genPoints(t *rapid.T, label string) []point {
	names := []string{"", "a", "b", "temperature", "デ"}
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) point {
		p := point{time: genTime(t)}
		for range rapid.IntRange(1, 4).Draw(t, "fields") {
			p.fields = append(p.fields, Field{Name: rapid.SampledFrom(names).Draw(t, "name"), Value: genValue(t)})
		}
		return p
	}), 0, 200).Draw(t, label)
}

func built(points []point) *Columns {
	var b Builder
	for _, p := range points {
		b.Append(p.time, p.fields)
	}
	return b.Columns()
}

func TestEqualIgnoresSpelling(t *testing.T) {
	m := modelOf([]point{{1, []Field{{"a", Int(1)}, {"b", Text("x")}}}, {2, []Field{{"a", Int(2)}}}})
	plain := m.columns()
	merged := new(Columns)
	Merge(merged, plain)
	if plain.Cols[0].Present == nil || merged.Cols[0].Present != nil {
		t.Fatalf("the two are meant to be spelled differently: %+v %+v", plain, merged)
	}
	if !Equal(plain, merged) {
		t.Fatalf("not equal: %+v %+v", plain, merged)
	}
	merged.Cols[1].Strs[0] = "y"
	if Equal(plain, merged) {
		t.Fatal("equal with another text")
	}
	delete(m[1], "b")
	if Equal(plain, m.columns()) || Equal(m.columns(), plain) {
		t.Fatal("equal with a column missing")
	}
}
