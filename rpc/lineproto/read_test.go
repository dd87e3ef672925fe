package lineproto

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/storage"
)

// show reads a text to its end: one string an accepted or refused line.
func show(t *testing.T, text string, o Options) []string {
	t.Helper()
	o.Database = "d"
	r, err := Open(strings.NewReader(text), o)
	if err != nil {
		return []string{"options: " + err.Error()}
	}
	var out []string
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return out
		}
		if bad, ok := errors.AsType[*LineError](err); ok {
			out = append(out, fmt.Sprintf("%d refused", bad.Line))
			if bad.Err.Error() == "" {
				t.Errorf("line %d: no reason", bad.Line)
			}
			continue
		}
		if err != nil {
			return append(out, "end: "+err.Error())
		}
		out = append(out, line(rec))
	}
}

func line(rec Record) string {
	at := fmt.Sprint(rec.Point.Time)
	if rec.Point.Time == api.NoTime {
		at = "-"
	}
	return fmt.Sprintf("%d %s/%s@%s%s", rec.Line, rec.Point.Collection, rec.Point.Device, at, fields(rec.Point))
}

func fields(p storage.Point) string {
	var out strings.Builder
	for _, f := range p.Fields {
		fmt.Fprintf(&out, " %s=%s:%s", f.Name, f.Value, f.Value.Kind)
	}
	return out.String()
}

func check(t *testing.T, text string, o Options, want ...string) {
	t.Helper()
	if got := show(t, text, o); !slices.Equal(got, want) {
		t.Errorf("%q:\ngot  %q\nwant %q", text, got, want)
	}
}

func TestLineProtocolTypesAndTimes(t *testing.T) {
	check(t, `m,host=h f=1.5,i=3i,u=4u,b=true,s="x y" 1000`+"\n"+`m,host=h f=2`, Options{},
		"1 m/h@1000 f=1.5:float64 i=3:int64 u=4:uint64 b=true:bool s=x y:string", "2 m/h@- f=2:float64")
	check(t, "m f=1 2", Options{Precision: "s"}, "1 m/_@2000000000 f=1:float64")
	check(t, "m f=1 -2", Options{Precision: "ms", Collection: "c"}, "1 c/_@-2000000 f=1:float64")
	check(t, "m f=1 9223372036854775807", Options{Precision: "s"}, "1 refused")
	check(t, "m f=1 1\r\n\r\n# comment\n  m f=2 2\n", Options{}, "1 m/_@1 f=1:float64", "4 m/_@2 f=2:float64")
}

func TestLineProtocolRefusesLinesOneByOne(t *testing.T) {
	check(t, strings.Join([]string{"m f=1 1", "m f= 2", "m", "m f=NaN 3", "m f=1,f=2 4", "m,a=1,a=2 f=1 5", "m f=1i2 6", "m f=1e999 7",
		"m m f=1 8", "m f=99999999999999999999i 9", "m f=1 10"}, "\n"), Options{},
		"1 m/_@1 f=1:float64", "2 refused", "3 refused", "4 refused", "5 refused", "6 refused", "7 refused", "8 refused", "9 refused", "10 refused", "11 m/_@10 f=1:float64")
	check(t, "m,device_id="+strings.Repeat("x", 300)+" f=1 1\nm f=1 2", Options{}, "1 refused", "2 m/_@2 f=1:float64")
}

func TestQuoteThatIsNeverClosedCostsItsOwnLineOnly(t *testing.T) {
	check(t, "m f=\"abc 1\nm f=2 2\nm f=3 3", Options{}, "1 refused", "2 m/_@2 f=2:float64", "3 m/_@3 f=3:float64")
	check(t, "m f=\"a\nb\" 1\nm f=3 3", Options{}, "1 m/_@1 f=a\nb:string", "3 m/_@3 f=3:float64")
	// A quote in a tag means nothing.
	check(t, "m,host=a\"b f=1 1\nm f=2 2", Options{}, `1 m/a"b@1 f=1:float64`, "2 m/_@2 f=2:float64")
}

func TestLineBeyondTheBoundIsSkippedWhole(t *testing.T) {
	check(t, "m f=1 1\nm s=\""+strings.Repeat("x", MaxLineBytes+10)+"\" 2\nm f=3 3", Options{}, "1 m/_@1 f=1:float64", "2 refused", "3 m/_@3 f=3:float64")
}

func TestDeviceIsTheWholeTagSet(t *testing.T) {
	tests := map[string]string{
		"m,host=h1 f=1":                           "h1",
		"m,cpu=cpu0,host=host1 f=1":               "host1,cpu=cpu0",
		"m,zone=z,host=host1,cpu=cpu0 f=1":        "host1,cpu=cpu0,zone=z",
		"m,host=h,device_id=d f=1":                "d,host=h",
		"m,cpu=cpu0 f=1":                          ",cpu=cpu0",
		"m f=1":                                   "_",
		`m,host=a\,b f=1`:                         `a\,b`,
		`m,host=a,b=c f=1`:                        `a,b=c`,
		`m,host=my\ host,the\ key=x\=y\,z\ w f=1`: `my host,the\ key=x\=y\,z\ w`,
	}
	for text, want := range tests {
		r, err := Open(strings.NewReader(text), Options{Database: "d"})
		if err != nil {
			t.Fatal(err)
		}
		rec, err := r.Read()
		if err != nil || rec.Point.Device != want {
			t.Errorf("%s: %q, %v, want %q", text, rec.Point.Device, err, want)
		}
	}
	check(t, "m,sn=7,host=h f=1 1", Options{DeviceTags: []string{"sn"}}, "1 m/7,host=h@1 f=1:float64")
}

func TestCSV(t *testing.T) {
	o := Options{Format: FormatCSV, Collection: "c"}
	check(t, "id,time,f,s\na,2026-01-02T03:04:05Z,1.5,x\nb,5,,\"q,\"\"r\"\n", o,
		"1... is the header"[:0]+"2 c/a@1767323045000000000 f=1.5:float64 s=x:string", `3 c/b@5 s=q,"r:string`)
	check(t, "\xef\xbb\xbfid,time,f\r\na,1970-01-02,14i\r\na,1970-01-01 00:01,7u\r\na,3,true\r\na,4,-1e3\n", o,
		"2 c/a@86400000000000 f=14:int64", "3 c/a@60000000000 f=7:uint64", "4 c/a@3 f=true:bool", "5 c/a@4 f=-1000:float64")
	check(t, "id,time,f\na,1,NaN\na,2,-Inf\na,3,infinity\na,4,1e999\na,5,99999999999999999999i\na,6,0x10\na,7,1_0\na,x,1\na,,1\na,8\na,9,1,2\n,10,1\na,11,\na,12,1\n", o,
		"2 refused", "3 refused", "4 refused", "5 refused", "6 refused", "7 c/a@6 f=0x10:string", "8 c/a@7 f=1_0:string", "9 refused", "10 refused",
		"11 refused", "12 refused", "13 refused", "14 refused", "15 c/a@12 f=1:float64")
	o.Device, o.TimeColumn, o.TimeLayout = "dev", "when", "%d.%m.%Y %H:%M"
	check(t, "when,f\n02.01.1970 00:00,1\n1970-01-01,2\n", o, "2 c/dev@86400000000000 f=1:float64", "3 refused")
	o.TimeLayout = "ms"
	check(t, "when,f\n2,1\n", o, "2 c/dev@2000000 f=1:float64")
	check(t, "time,f\n2,1\n", o, `end: invalid options: time column "when" is not among time, f`)
	check(t, "f\n1\n", Options{Format: FormatCSV, Collection: "c", Device: "x", TimeColumn: NoTimeColumn}, "2 c/x@- f=1:float64")
	check(t, "f\n1\n", Options{Format: FormatCSV, Collection: "c", Device: "x"},
		`end: invalid options: no column "time" among f: name the time column, or "-" to have the points stamped when they are written`)
	check(t, "f,time\n1,1\n", Options{Format: FormatCSV, Collection: "c"}, `end: invalid options: no column "id" among f, time: name the device column, or the device`)
}

func TestCSVQuotesCostTheirOwnLineOnly(t *testing.T) {
	o := Options{Format: FormatCSV, Collection: "c"}
	check(t, "id,time,s\na,1,\"open\na,2,b\na,3,\"two\nlines\"\na,4,x\"y\na,5,\"x\"y\na,6,z\n", o,
		"2 refused", "3 c/a@2 s=b:string", "4 c/a@3 s=two\nlines:string", "6 refused", "7 refused", "8 c/a@6 s=z:string")
}

func TestNDJSON(t *testing.T) {
	o := Options{Format: FormatNDJSON, Collection: "c"}
	check(t, `{"id":"a","time":"1970-01-01T00:00:00.5+00:00","f":1,"i":{"i":14},"u":{"u":14},"b":false,"s":"\u00e9","n":null}
{"id":"a","time":7,"$id":1,"$time":2,"$times":3,"$$id":4}

{"id":"a","f":1e999}
{"id":"a","f":1} x
{"id":"a","f":[1]}
{"id":"a","f":{"f":1}}
{"id":"a","f":{"i":1.5}}
{"id":"a","times":1}
{"id":"a","f":1,"f":2}
{"id":7,"f":1}
{"f":1}
{"id":"a"}
{"id":"a","time":1.5,"f":1}
{"id":"a","f":NaN}
{"id":"a","f":01}
{"id":"b","f":2}`, o,
		"1 c/a@500000000 f=1:float64 i=14:int64 u=14:uint64 b=false:bool s=é:string", "2 c/a@7 id=1:float64 time=2:float64 times=3:float64 $id=4:float64",
		"4 refused", "5 refused", "6 refused", "7 refused", "8 refused", "9 refused", "10 refused", "11 refused", "12 refused", "13 refused", "14 refused",
		"15 refused", "16 refused", "17 c/b@- f=2:float64")
	o.DeviceColumn, o.TimeColumn, o.TimeLayout = "sensor", "ts", "s"
	check(t, `{"sensor":"a","ts":3,"x":1}`, o, "1 c/a@3000000000 x=1:float64")
}

func TestHalfASurrogatePairIsNoText(t *testing.T) {
	for text, ok := range map[string]bool{
		`\ud800`: false, `\udc00`: false, `\udc00\ud800`: false, `\ud800x`: false, `\ud800\n`: false, `\ud800\ud800`: false,
		`\uD83D\uDE00`: true, `x\ud83d\ude00\ud83d\ude00`: true, `\ufffd`: true, `\\ud800`: true, `\\\ud800`: false, `\ud83d\ude00\ude00`: false,
		`\ud7ff\ue000`: true,
	} {
		for _, point := range []string{`{"id":"a","f":"` + text + `"}`, `{"id":"` + text + `","f":1}`, `{"id":"a","` + text + `":1}`} {
			if _, err := ParsePoint([]byte(point), "d", "c"); (err == nil) != ok {
				t.Errorf("%s: %v", point, err)
			}
		}
	}
}

func TestEscapedFieldNamesAreInverse(t *testing.T) {
	for _, name := range []string{"id", "time", "times", "$id", "$$times", "idx", "$", "$x", "temperature"} {
		if got := unescapeField(EscapeField(name)); got != name {
			t.Errorf("%q became %q", name, got)
		}
	}
	if EscapeField("temperature") != "temperature" || EscapeField("id") != "$id" {
		t.Error("only reserved names are escaped")
	}
}

func TestBatchBodies(t *testing.T) {
	points, err := ParsePoints([]byte(` {"points":[{"id":"a","f":1},{"id":"b","time":5,"f":2}]} `), "d", "c", 2)
	if err != nil || len(points) != 2 || points[1].Time != 5 || points[0].Time != api.NoTime {
		t.Fatalf("%+v %v", points, err)
	}
	if _, err := ParsePoints([]byte(`{"points":[{"id":"a","f":1},{"id":"b","f":2},{"id":"b","f":2}]}`), "d", "c", 2); !IsTooMany(err) {
		t.Errorf("three of two: %v", err)
	}
	var at *PointsError
	if _, err := ParsePoints([]byte(`{"points":[{"id":"a","f":1},{"id":"b","f":}]}`), "d", "c", 9); !errors.As(err, &at) || at.Points[0].Index != 1 {
		t.Errorf("the second point: %v", err)
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"point":[]}`, `{"points":{}}`, `{"points":[]}x`, `{"points":[],"points":[]}`, `{"points":[`} {
		if _, err := ParsePoints([]byte(bad), "d", "c", 9); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if p, err := ParsePoints([]byte(`{"points":[]}`), "d", "c", 9); err != nil || len(p) != 0 {
		t.Errorf("an empty batch: %v", err)
	}
}

func TestOptionsThatExcludeEachOther(t *testing.T) {
	for name, o := range map[string]Options{
		"two devices":         {Format: FormatCSV, Collection: "c", Device: "a", DeviceColumn: "b"},
		"columns of lines":    {Format: FormatLine, TimeColumn: "t"},
		"a format":            {Format: "xml"},
		"tags of columns":     {Format: FormatCSV, Collection: "c", DeviceTags: []string{"host"}},
		"unit of a layout":    {Format: FormatNDJSON, Collection: "c", Precision: "s"},
		"csv to nowhere":      {Format: FormatCSV},
		"ndjson to nowhere":   {Format: FormatNDJSON},
		"a precision":         {Precision: "d"},
		"a layout":            {Format: FormatCSV, Collection: "c", TimeLayout: "%Q"},
		"a layout of nothing": {Format: FormatCSV, Collection: "c", TimeLayout: "hello"},
	} {
		if _, err := Open(strings.NewReader(""), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWeatherIsReadWhole(t *testing.T) {
	for file, o := range map[string]Options{
		"weather.csv":                        {DeviceColumn: "location", TimeColumn: "date"},
		"seattle-weather-hourly-normals.csv": {Device: "seattle", TimeColumn: "date"},
	} {
		f, err := os.Open("../../testdata/weather/" + file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		o.Format, o.Database, o.Collection = FormatCSV, "d", "weather"
		r, err := Open(f, o)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for {
			if _, err := r.Read(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			n++
		}
		if n < 2000 {
			t.Errorf("%s: %d rows", file, n)
		}
	}
}

// All points of a batch that are wrong are listed, whatever is wrong with them.
func TestEveryWrongPointOfABatchIsListed(t *testing.T) {
	body := `{"points":[{"id":"a","f":1},{"id":"b","time":"noon","f":2},{"id":"c"},{"f":{"i":1.5},"id":"d"},{"id":"e","f":[{"x":"}"}]},{"id":"","f":1},{"id":"g","f":1}]}`
	var bad *PointsError
	if _, err := ParsePoints([]byte(body), "d", "c", 100); !errors.As(err, &bad) {
		t.Fatal(err)
	}
	var indices []int
	for _, p := range bad.Points {
		indices = append(indices, p.Index)
	}
	if want := []int{1, 2, 3, 4, 5}; !slices.Equal(indices, want) || bad.Count != len(want) {
		t.Errorf("%d: %+v", bad.Count, bad.Points)
	}
	broken := `{"points":[{"id":"a","time":"noon","f":1},{"id":"b","f":NaN},{"id":"c"}]}`
	if _, err := ParsePoints([]byte(broken), "d", "c", 100); !errors.As(err, &bad) || bad.Count != 2 {
		t.Errorf("what is no JSON ends the list: %v", err)
	}
	many := `{"points":[` + strings.Repeat(`{"id":"a"},`, 500) + `{"id":5}]}`
	if _, err := ParsePoints([]byte(many), "d", "c", 1000); !errors.As(err, &bad) || bad.Count != 501 || len(bad.Points) != api.MaxPointErrors {
		t.Errorf("the list is bounded: %d of %d", len(bad.Points), bad.Count)
	}
}
