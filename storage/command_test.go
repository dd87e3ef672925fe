package storage

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

func TestCommandsComeBackAsTheyWentIn(t *testing.T) {
	del := Delete{Series{"db", "c", ""}, -5, 7}
	cut := Cut{ID: "id", Purpose: "verify", TTL: time.Minute, HoldLog: true}
	lease := Lease{ID: "l", TTL: time.Hour}
	data := AppendDelete(nil, del)
	data = AppendRetain(data, "db", -3)
	data = AppendCut(data, cut)
	data = AppendLease(data, lease)
	data = AppendEnd(data, "id")
	data = AppendNoop(data)
	data = AppendFormatVersion(data, 1)
	var got []any
	for c, err := range DecodeCommands(data) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, decode(t, c))
	}
	want := []any{del, Retain{"db", -3}, cut, lease, "id", nil, uint8(1)}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
}

func decode(t testing.TB, c Command) (v any) {
	t.Helper()
	var err error
	switch c.Kind {
	case KindPut:
		v, err = c.Points()
	case KindDelete:
		v, err = c.Delete()
	case KindRetain:
		v, err = c.Retain()
	case KindCut:
		v, err = c.Cut()
	case KindLease:
		v, err = c.Lease()
	case KindEnd:
		v, err = c.End()
	case KindFormat:
		v, err = c.FormatVersion()
	}
	if err != nil && !errors.Is(err, ErrBadCommand) {
		t.Fatalf("%s: %v is not ErrBadCommand", c.Kind, err)
	}
	if err != nil {
		return err
	}
	return v
}

func TestPutsComeBackAsTheyWentInAndMergeByConcatenation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var data []byte
		var want []Point
		for range rapid.IntRange(1, 3).Draw(t, "frames") {
			points := drawPoints(t)
			if rapid.IntRange(0, 9).Draw(t, "far") == 0 {
				points[0].Time = rapid.SampledFrom([]int64{MinTime, MaxTime}).Draw(t, "extreme")
			}
			data = AppendPut(data, points)
			want = append(want, points...)
		}
		var got []Point
		for c, err := range DecodeCommands(data) {
			if err != nil {
				t.Fatal(err)
			}
			points, err := c.Points()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, points...)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	})
}

func TestManySeriesAndSchemasInOnePut(t *testing.T) {
	var want []Point
	for i := range 3000 {
		p := Point{Series: Series{"db", "c", string(rune('a'+i%150)) + "-device"}, Time: int64(i)}
		for f := range 1 + i%20 {
			p.Fields = append(p.Fields, Field{Name: string(rune(65 + f)), Value: blocks.Int(int64(i))})
		}
		want = append(want, p)
	}
	for c := range DecodeCommands(AppendPut(nil, want)) {
		if got, err := c.Points(); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("%d points, %v", len(got), err)
		}
	}
}

func TestPutBytesIsAnUpperBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bound := 0
		points := drawPoints(t)
		for i := range points {
			bound += PutBytes(&points[i])
		}
		if n := len(AppendPut(nil, points)); n > bound {
			t.Fatalf("%d bytes, bound %d", n, bound)
		}
	})
}

// FuzzCommands looks for entries that panic, are misread as another error, or leave a shard's head in a state that
// cannot be flushed.
func FuzzCommands(f *testing.F) {
	f.Add(AppendPut(nil, []Point{point("d", 5, "a", 1.5, "s", "x"), point("e", -5, "b", true, "i", 3), point("d", 5, "a", "text")}))
	f.Add(AppendDelete(AppendNoop(nil), Delete{Series{"db", "c", "d"}, MinTime, NoEnd}))
	f.Add(AppendRetain(nil, "db", -1<<62))
	f.Add(AppendCut(nil, Cut{ID: "x", TTL: 1}))
	f.Add(AppendLease(AppendEnd(nil, "x"), Lease{ID: "x", Purpose: "p"}))
	f.Add(AppendFormatVersion(nil, 1))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, 1})
	s := mustOpen(f, testOptions(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		for c, err := range DecodeCommands(data) {
			if err != nil {
				if !errors.Is(err, ErrBadCommand) {
					t.Fatal(err)
				}
				break
			}
			decode(t, c)
		}
		err := s.Apply([]Entry{{Index: s.Applied().Index + 1, Term: 1, Data: data}})[0]
		if err != nil && !errors.Is(err, ErrBadCommand) && !errors.Is(err, ErrTooManyLeases) {
			t.Fatal(err)
		}
		checksAgree(t, data, err)
		if s.Applied().Index%512 == 0 {
			if _, err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}
