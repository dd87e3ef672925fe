package blocks

import (
	"fmt"
	"testing"
)

// perPoint reports bytes and ns a point of a benchmark that handles rows points an iteration.
func perPoint(b *testing.B, rows, bytes int) {
	b.Helper()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/point")
	if bytes > 0 {
		b.ReportMetric(float64(bytes)/float64(rows), "bytes/point")
	}
}

func benchmarkCases() map[string]*Columns {
	return map[string]*Columns{"walk4096": walk(4096, 1), "walk100": walk(100, 1), "noise4096": noise(4096)}
}

func BenchmarkEncode(b *testing.B) {
	for name, c := range benchmarkCases() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				dst, _ = Encode(dst[:0], c)
			}
			perPoint(b, c.Len(), len(dst))
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, c := range benchmarkCases() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			block, _ := Encode(nil, c)
			var out Columns
			for b.Loop() {
				if err := Decode(block, &out); err != nil {
					b.Fatal(err)
				}
			}
			perPoint(b, c.Len(), len(block))
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	const rows = 4096
	fields := []Field{{"humidity", Float(1)}, {"pressure", Float(2)}, {"temperature", Float(3)}}
	for _, step := range []int64{1, -1} {
		b.Run(fmt.Sprintf("step%d", step), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var build Builder
				for row := range int64(rows) {
					build.Append(row*step*tick, fields)
				}
				build.Columns()
			}
			perPoint(b, rows, 0)
		})
	}
}

func BenchmarkMerge(b *testing.B) {
	even, odd := walk(4096, 1), walk(4096, 2)
	for i := range odd.Times {
		odd.Times[i] += tick / 2
	}
	later, same := walk(1000, 3), walk(4096, 4)
	for i := range later.Times {
		later.Times[i] += 4000 * tick
	}
	for name, layers := range map[string][]*Columns{
		"interleaved": {even, odd}, "tail": {even, later}, "same": {even, same}, "one": {even},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			rows := 0
			for _, c := range layers {
				rows += c.Len()
			}
			var dst Columns
			for b.Loop() {
				Merge(&dst, layers...)
			}
			perPoint(b, rows, 0)
		})
	}
}
