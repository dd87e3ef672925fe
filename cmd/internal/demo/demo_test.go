package demo

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/lineproto"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/testdata/weather"
)

// The promise: 2,000 devices make all 256 groups live. It depends on the names alone.
func TestSimulatedDevicesCoverEveryGroup(t *testing.T) {
	d := newDevices(nil)
	if groups := d.ledger.Groups(); groups != totalGroups {
		t.Errorf("%d devices live in %d groups, not in %d", d.ledger.Devices, groups, totalGroups)
	}
}

func TestWeatherIsThreeDevicesInThreeGroups(t *testing.T) {
	r, err := readWeather()
	if err != nil {
		t.Fatal(err)
	}
	points := 0
	for _, times := range r.values {
		points += len(times)
	}
	if r.rows != 11_681 || points != r.rows || len(r.values) != 3 || len(r.groups()) != 3 {
		t.Errorf("%d rows, %d points, %d devices, groups %v", r.rows, points, len(r.values), r.groups())
	}
}

// asLoaded gives what `flotilla write` would have written.
func asLoaded(t *testing.T) map[storage.Series][]storage.Point {
	t.Helper()
	loaded := map[storage.Series][]storage.Point{}
	for _, o := range []struct {
		file    []byte
		options lineproto.Options
	}{
		{weather.Daily, lineproto.Options{Collection: dailyCollection, DeviceColumn: dailyStation}},
		{weather.Hourly, lineproto.Options{Collection: hourlyCollection, Device: hourlyStation}},
	} {
		o.options.Format, o.options.Database, o.options.TimeColumn = lineproto.FormatCSV, weatherDatabase, dateColumn
		in, err := lineproto.Open(bytes.NewReader(o.file), o.options)
		if err != nil {
			t.Fatal(err)
		}
		for {
			record, err := in.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			p := record.Point
			p.Fields = slices.Clone(p.Fields)
			loaded[p.Series] = append(loaded[p.Series], p)
		}
	}
	return loaded
}

func TestCompareFindsEachDifference(t *testing.T) {
	r, err := readWeather()
	if err != nil {
		t.Fatal(err)
	}
	seattle := storage.Series{Database: weatherDatabase, Collection: dailyCollection, Device: "Seattle"}
	for name, c := range map[string]struct {
		do   func([]storage.Point) []storage.Point
		want difference
	}{
		"Nothing":      {func(p []storage.Point) []storage.Point { return p }, difference{}},
		"PointMissing": {func(p []storage.Point) []storage.Point { return p[1:] }, difference{missing: 5}},
		"PointTwice":   {func(p []storage.Point) []storage.Point { return append(p, p[0]) }, difference{extra: 1}},
		"PointMoved":   {func(p []storage.Point) []storage.Point { p[0].Time++; return p }, difference{extra: 1, missing: 5}},
		"ValueWrong": {func(p []storage.Point) []storage.Point { p[7].Fields[0].Value = blocks.Float(-99); return p },
			difference{wrong: 1}},
		"KindWrong": {func(p []storage.Point) []storage.Point {
			i := slices.IndexFunc(p[0].Fields, func(f storage.Field) bool { return f.Name == "precipitation" })
			p[0].Fields[i].Value = blocks.Int(0) // 0.0 was written
			return p
		}, difference{wrong: 1}},
		"FieldMissing": {func(p []storage.Point) []storage.Point { p[0].Fields = p[0].Fields[1:]; return p }, difference{missing: 1}},
		"FieldExtra": {func(p []storage.Point) []storage.Point {
			p[0].Fields = append(p[0].Fields, storage.Field{Name: "snow", Value: blocks.Float(0)})
			return p
		}, difference{extra: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			loaded := asLoaded(t)
			loaded[seattle] = c.do(loaded[seattle])
			var d difference
			for _, s := range slices.Collect(maps.Keys(r.values)) {
				r.compare(s, loaded[s], &d)
			}
			if d.wrong != c.want.wrong || d.missing != c.want.missing || d.extra != c.want.extra || d.none() != c.want.none() {
				t.Errorf("%+v, want %+v", d, c.want)
			}
			if c.want.none() && d.equal != r.count {
				t.Errorf("%d values equal of %d", d.equal, r.count)
			}
		})
	}
}

func TestOneFailedCheckFailsTheDemo(t *testing.T) {
	var out bytes.Buffer
	s := &scorecard{say: &narrator{out: &out, err: io.Discard, began: time.Now()}}
	if s.held() {
		t.Error("no check at all is no success")
	}
	s.check("first", true, "fine")
	if !s.held() {
		t.Error("one check held, and the card says no")
	}
	s.check("second", false, "%d are missing", 3)
	s.check("third", true, "fine")
	s.print()
	if s.held() || !strings.Contains(out.String(), "FAIL second") || !strings.Contains(out.String(), "2 of 3 checks held") {
		t.Errorf("held %v:\n%s", s.held(), &out)
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("colours where none were asked for: %q", &out)
	}
}

func TestUnknownStoryStartsNothing(t *testing.T) {
	err := Run(t.Context(), Options{Binary: "/nowhere", Out: io.Discard, Err: io.Discard, Only: "flood"})
	if !errors.Is(err, ErrNoStory) || !strings.Contains(err.Error(), Names()) {
		t.Errorf("%v", err)
	}
}

// A node that cannot start ends the demo with an error, and nothing is left behind.
func TestNodesThatDoNotStartFailTheDemo(t *testing.T) {
	binary, err := exec.LookPath("false")
	if err != nil {
		t.Skip("there is no program that ends with 1")
	}
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	var out bytes.Buffer
	err = Run(t.Context(), Options{Binary: binary, Out: &out, Err: io.Discard, Only: "weather"})
	if err == nil || !strings.Contains(out.String(), "FAIL story start") {
		t.Errorf("%v\n%s", err, &out)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}
