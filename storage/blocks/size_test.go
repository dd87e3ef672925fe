package blocks

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

const tick = 10_000_000_000 // ns between readings

// walk is a device with three floats of two decimals, a random walk of steps up to 1, 10 s apart.
func walk(rows int, seed uint64) *Columns {
	rng := rand.New(rand.NewPCG(seed, 7))
	var b Builder
	level := [3]int{2000, 5000, 101325}
	fields := []Field{{Name: "humidity"}, {Name: "pressure"}, {Name: "temperature"}}
	for row := range rows {
		for i := range level {
			level[i] += rng.IntN(201) - 100
			fields[i].Value = Float(float64(level[i]) / 100)
		}
		b.Append(1_700_000_000_000_000_000+int64(row)*tick, fields)
	}
	return b.Columns()
}

// noise is one field of random float64 bits.
func noise(rows int) *Columns {
	rng := rand.New(rand.NewPCG(3, 7))
	var b Builder
	for row := range rows {
		b.Append(int64(row)*tick, []Field{{"x", Float(math.Float64frombits(rng.Uint64()))}})
	}
	return b.Columns()
}

func bytesAPoint(t failer, c *Columns) float64 {
	t.Helper()
	total := 0
	for lo, hi := range c.Blocks() {
		b, err := EncodeRows(nil, c, lo, hi)
		if err != nil {
			t.Fatalf("encode: %v", err)
		}
		total += len(b)
	}
	return float64(total) / float64(c.Len())
}

func TestSizes(t *testing.T) {
	// A slow sensor: steps of 0.01, now and then a value that is no decimal, jitter of milliseconds.
	rng := rand.New(rand.NewPCG(5, 5))
	var slow, state, wide Builder
	level := 2150
	on := int64(1)
	for row := range 4096 {
		level += rng.IntN(3) - 1
		v := float64(level) / 100
		if row%100 == 50 {
			v = math.Copysign(0, -1)
		}
		slow.Append(int64(row)*tick+rng.Int64N(50)*1_000_000, []Field{{"t", Float(v)}})
		if rng.IntN(200) == 0 {
			on = rng.Int64N(5)
		}
		state.Append(int64(row)*tick, []Field{{"state", Int(on)}, {"mode", Text(fmt.Sprint("mode-", on))}, {"ok", Boolean(on > 2)}})
		wide.Append(int64(row)*tick, []Field{{"x", Float(float64(float32(rng.Float64())))}})
	}
	for _, tc := range []struct {
		name  string
		c     *Columns
		limit float64
	}{
		{"three floats of two decimals, random walk, 4096 rows", walk(4096, 1), 3.6},
		{"the same, 1000 rows", walk(1000, 1), 3.7},
		{"the same, 110 rows", walk(110, 1), 4.5},
		{"the same, 10 rows", walk(10, 1), 13},
		{"random float64 bits", noise(4096), 8.1},
		{"random float32", wide.Columns(), 4.5},
		{"slow sensor with exceptions and jitter", slow.Columns(), 1.6},
		{"state, text and bool that seldom change", state.Columns(), 1},
	} {
		got := bytesAPoint(t, tc.c)
		t.Logf("%-55s %6.3f bytes a point", tc.name, got)
		if got > tc.limit {
			t.Errorf("%s: %.3f bytes a point, want at most %.2f", tc.name, got, tc.limit)
		}
	}
}
