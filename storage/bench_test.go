package storage

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// walk makes readings as the speed goals describe them: three floats of two decimals, a random walk, 10 s apart.
type walk struct {
	devices int
	values  [][3]float64
	seed    uint64
	tick    int64
}

func newWalk(devices int) *walk {
	w := &walk{devices: devices, values: make([][3]float64, devices), seed: 1}
	for i := range w.values {
		w.values[i] = [3]float64{21.5, 48.25, 1013.1}
	}
	return w
}

func (w *walk) random() float64 {
	w.seed = w.seed*6364136223846793005 + 1442695040888963407
	return float64(int64(w.seed>>33)-1<<30) / (1 << 30)
}

// next is one reading of every device.
func (w *walk) next() []Point {
	at := int64(1_700_000_000_000_000_000) + w.tick*10*int64(time.Second)
	w.tick++
	points := make([]Point, w.devices)
	for i := range points {
		v := &w.values[i]
		fields := make([]Field, 3)
		for f, name := range [...]string{"temperature", "humidity", "pressure"} {
			v[f] = math.Round((v[f]+w.random())*100) / 100
			fields[f] = Field{Name: name, Value: blocks.Float(v[f])}
		}
		points[i] = Point{Series: Series{"bench", "readings", fmt.Sprintf("dev-%05d", i)}, Time: at, Fields: fields}
	}
	return points
}

func benchOptions(b *testing.B) Options {
	o := testOptions(b)
	o.Window = DefaultWindow
	o.InitialMmapSize = 1 << 30
	return o
}

// BenchmarkApply measures Shard.Apply alone: entries are encoded outside. points is the size of one entry.
func BenchmarkApply(b *testing.B) {
	for _, points := range []int{1, 4, 40, 1000} {
		b.Run(fmt.Sprintf("points=%d", points), func(b *testing.B) {
			s := mustOpen(b, benchOptions(b))
			w := newWalk(max(points, 40))
			var entries [][]byte
			for len(entries) < 2000 {
				all := w.next()
				for len(all) >= points && len(entries) < 2000 {
					entries = append(entries, AppendPut(nil, all[:points]))
					all = all[points:]
				}
			}
			batch := make([]Entry, 64)
			index, done := uint64(0), 0
			b.ResetTimer()
			for done < b.N {
				for i := range batch {
					index++
					batch[i] = Entry{Index: index, Term: 1, Data: entries[int(index)%len(entries)]}
				}
				s.Apply(batch)
				done += points * len(batch)
			}
			b.ReportMetric(float64(done)/b.Elapsed().Seconds(), "points/s")
		})
	}
}

func BenchmarkAppendPut(b *testing.B) {
	for _, points := range []int{1, 4, 1000} {
		b.Run(fmt.Sprintf("points=%d", points), func(b *testing.B) {
			all := newWalk(points).next()
			var buf []byte
			b.ReportAllocs()
			for range b.N {
				buf = AppendPut(buf[:0], all)
			}
			b.ReportMetric(float64(points)*float64(b.N)/b.Elapsed().Seconds(), "points/s")
			b.ReportMetric(float64(len(buf))/float64(points), "bytes/point")
		})
	}
}

// BenchmarkFlush measures the flush of a day of 40 devices, and reports what a point takes in blocks and in the file.
func BenchmarkFlush(b *testing.B) {
	const ticks = 2000
	w := newWalk(40)
	var entries [][]byte
	for range ticks {
		entries = append(entries, AppendPut(nil, w.next()))
	}
	var st Stats
	for range b.N {
		b.StopTimer()
		s := mustOpen(b, benchOptions(b))
		for i, e := range entries {
			s.Apply([]Entry{{Index: uint64(i + 1), Term: 1, Data: e}})
		}
		b.StartTimer()
		if _, err := s.Flush(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		st = s.Stats()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	points := float64(40 * ticks)
	b.ReportMetric(points*float64(b.N)/b.Elapsed().Seconds(), "points/s")
	b.ReportMetric(float64(st.BlockBytes)/points, "block-bytes/point")
	b.ReportMetric(float64(st.Bytes)/points, "file-bytes/point")
}

func BenchmarkScan(b *testing.B) {
	for _, flushed := range []bool{false, true} {
		for _, rows := range []int{1, 1000} {
			b.Run(fmt.Sprintf("flushed=%v/rows=%d", flushed, rows), func(b *testing.B) {
				s := mustOpen(b, benchOptions(b))
				w := newWalk(40)
				for i := range 2000 {
					s.Apply([]Entry{{Index: uint64(i + 1), Term: 1, Data: AppendPut(nil, w.next())}})
				}
				if flushed {
					if _, err := s.Flush(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
				q := Query{Series: Series{"bench", "readings", "dev-00017"}, From: MinTime, To: NoEnd, Limit: rows, Descending: true}
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					got := 0
					if err := s.Scan(context.Background(), q, func(_ Series, c *blocks.Columns) error { got += c.Len(); return nil }); err != nil || got != rows {
						b.Fatal(got, err)
					}
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "scans/s")
			})
		}
	}
}
