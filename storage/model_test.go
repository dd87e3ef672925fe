package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

func TestGroupVectors(t *testing.T) {
	for _, v := range []struct {
		db, collection, device string
		group                  uint32
	}{
		{"d1", "c1", "dev-0", 36}, {"d1", "c1", "dev-1", 183}, {"mydb", "sensors", "sensor-001", 34},
		{"mydb", "sensors", "sensor-002", 143}, {"a", "b", "", 14}, {"", "", "", 245}, {"db", "c", "デバイス-1", 38},
	} {
		if g := GroupOf(v.db, v.collection, v.device, 256); g != v.group {
			t.Errorf("%s:%s:%s is in group %d, want %d", v.db, v.collection, v.device, g, v.group)
		}
	}
}

func TestSlotVectors(t *testing.T) {
	for device, slot := range map[string]uint8{"dev-0": slotDev0, "dev-1": slotDev1, "sensor-001": slotSensor1, "デバイス-1": slotKana} {
		if got := SlotOf(Series{"d1", "c1", device}.Key()); got != slot {
			t.Errorf("%s has slot %d, want %d", device, got, slot)
		}
	}
}

// Slots are part of what a leaf is: a change makes every replica disagree with its past.
const slotDev0, slotDev1, slotSensor1, slotKana = 8, 4, 4, 3

func TestSeriesOfOneGroupUseAllSlots(t *testing.T) {
	used := map[uint8]int{}
	for i := range 100_000 {
		s := Series{"d1", "c1", fmt.Sprint("dev-", i)}
		if GroupOf(s.Database, s.Collection, s.Device, 256) == 36 {
			used[SlotOf(s.Key())]++
		}
	}
	if len(used) != Slots {
		t.Fatalf("slots of group 36: %v", used)
	}
}

func TestKeysOfDifferentSeriesDiffer(t *testing.T) {
	seen := map[string]Series{}
	for _, s := range []Series{{"a", "b", "c:d"}, {"a", "b:c", "d"}, {"a:b", "c", "d"}, {"a", "b", "c"}, {"a", "bc", ""}, {"ab", "c", ""}, {"", "", ""},
		{"a", "b", strings.Repeat("x", 256)}, {"a", "b", "デバイス"}} {
		key := s.Key()
		for other, o := range seen {
			if strings.HasPrefix(other, string(key)) || strings.HasPrefix(string(key), other) {
				t.Errorf("the keys of %v and %v are not prefix-free", s, o)
			}
		}
		seen[string(key)] = s
		back, err := ParseKey(key)
		if err != nil || back != s {
			t.Errorf("key of %v gives %v, %v", s, back, err)
		}
		if _, err := ParseKey(append(key, 0)); err == nil {
			t.Errorf("key of %v with a byte more is taken", s)
		}
		if _, err := ParseKey(key[:len(key)-1]); err == nil {
			t.Errorf("key of %v with a byte less is taken", s)
		}
	}
}

func TestWindowsBefore1970(t *testing.T) {
	const day = int64(DefaultWindow)
	for _, v := range []struct{ ts, window int64 }{{0, 0}, {1, 0}, {day - 1, 0}, {day, 1}, {-1, -1}, {-day, -1}, {-day - 1, -2},
		{MinTime, -106752}, {MaxTime, 106751}, {NoEnd, 106751}} {
		w := WindowOf(v.ts, day)
		if w != v.window {
			t.Errorf("%d lies in window %d, want %d", v.ts, w, v.window)
		}
		if lo, hi := WindowStart(w, day), windowEnd(w, day); v.ts < lo || v.ts >= hi && v.ts != NoEnd {
			t.Errorf("%d lies in window %d of [%d, %d)", v.ts, w, lo, hi)
		}
	}
	last := []byte(nil)
	for _, w := range []int64{math.MinInt64, -106752, -2, -1, 0, 1, 106751, math.MaxInt64} {
		k := appendWindow(nil, w)
		if last != nil && bytes.Compare(last, k) >= 0 {
			t.Errorf("window %d does not sort behind the one before", w)
		}
		last = k
	}
}

func TestNamesOutOfRangeAreRefused(t *testing.T) {
	good := Point{Series: Series{"db.1:x_-", "C", "any thing\x01"}, Fields: []Field{{Name: "f ü", Value: blocks.Float(1)}}}
	if err := ValidatePoint(&good, DefaultLimits); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Point){
		"empty database":    func(p *Point) { p.Database = "" },
		"long database":     func(p *Point) { p.Database = strings.Repeat("x", 65) },
		"slash":             func(p *Point) { p.Collection = "a/b" },
		"umlaut":            func(p *Point) { p.Collection = "ü" },
		"empty device":      func(p *Point) { p.Device = "" },
		"long device":       func(p *Point) { p.Device = strings.Repeat("x", 257) },
		"device not UTF-8":  func(p *Point) { p.Device = "\xff" },
		"no field":          func(p *Point) { p.Fields = nil },
		"many fields":       func(p *Point) { p.Fields = make([]Field, 257) },
		"field with a bell": func(p *Point) { p.Fields[0].Name = "a\a" },
		"NaN":               func(p *Point) { p.Fields[0].Value = blocks.Float(math.NaN()) },
		"Inf":               func(p *Point) { p.Fields[0].Value = blocks.Float(math.Inf(-1)) },
		"long string":       func(p *Point) { p.Fields[0].Value = blocks.Text(strings.Repeat("x", 64<<10+1)) },
		"no kind":           func(p *Point) { p.Fields[0].Value = blocks.Value{} },
		"end of time":       func(p *Point) { p.Time = NoEnd },
	} {
		p := good
		p.Fields = append([]Field(nil), good.Fields...)
		change(&p)
		err := ValidatePoint(&p, DefaultLimits)
		var invalid *InvalidError
		if !errors.Is(err, ErrInvalid) || !errors.As(err, &invalid) || invalid.Hint == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := ValidateBatch(10_001, 1, DefaultLimits); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	if err := ValidateBatch(1, 8<<20+1, Limits{}.WithDefaults()); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}
