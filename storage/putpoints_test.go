package storage

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

func TestPointReaderGivesWhatPointsGives(t *testing.T) {
	var in []Point
	for i := range 300 {
		p := Point{Series: Series{"d", "c", fmt.Sprint("dev-", i%7, strings.Repeat("x", i%200))}, Time: int64(i * i), Fields: []Field{{Name: "a", Value: blocks.Float(float64(i))}}}
		if i%3 == 0 {
			p.Fields = append(p.Fields, Field{Name: "s", Value: blocks.Text(fmt.Sprint(i))}, Field{Name: "b", Value: blocks.Boolean(true)}, Field{Name: "i", Value: blocks.Int(-int64(i))})
		}
		in = append(in, p)
	}
	var r PointReader
	for range 2 { // reuse
		r.Reset()
		for c, err := range DecodeCommands(AppendPut(AppendPut(nil, in[:100]), in[100:])) {
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Read(c, 300, 4); err != nil {
				t.Fatal(err)
			}
		}
		if !reflect.DeepEqual(r.points, in) {
			t.Fatal("other points came out")
		}
	}
	for c, err := range DecodeCommands(AppendPut(nil, in)) {
		if err != nil {
			t.Fatal(err)
		}
		r.Reset()
		if _, err := r.Read(c, 299, 4); !errors.Is(err, ErrInvalid) {
			t.Fatalf("300 points of 299: %v", err)
		}
		r.Reset()
		if _, err := r.Read(c, 300, 3); !errors.Is(err, ErrInvalid) {
			t.Fatalf("4 fields of 3: %v", err)
		}
	}
}

func FuzzPointReader(f *testing.F) {
	f.Add(AppendPut(nil, []Point{{Series: Series{"d", "c", "x"}, Time: 1, Fields: []Field{{Name: "a", Value: blocks.Int(1)}, {Name: "s", Value: blocks.Text("y")}}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for c, err := range DecodeCommands(b) {
			if err != nil {
				return
			}
			if c.Kind != KindPut {
				continue
			}
			var r PointReader
			fast, err := r.Read(c, 1<<20, 1<<20)
			slow, want := c.Points()
			if (err == nil) != (want == nil) {
				t.Fatalf("%v, %v", err, want)
			}
			if err == nil && len(fast) != len(slow) {
				t.Fatalf("%d points, %d", len(fast), len(slow))
			}
			for i := range fast {
				if err == nil && !reflect.DeepEqual(fast[i], slow[i]) {
					t.Fatalf("point %d: %+v, %+v", i, fast[i], slow[i])
				}
			}
		}
	})
}
