package lineproto

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/storage"
)

// fuzzReader: a reader of any text ends, never gives an invalid point, and
// its lines rise.
func fuzzReader(f *testing.F, o Options) {
	f.Fuzz(func(t *testing.T, text string) {
		o.Database = "d"
		r, err := Open(strings.NewReader(text), o)
		if err != nil {
			t.Fatal(err)
		}
		last, bound := int64(0), strings.Count(text, "\n")+1
		for i := 0; ; i++ {
			rec, err := r.Read()
			if i > bound {
				t.Fatalf("more than %d records of as many lines", bound)
			}
			no := rec.Line
			if bad, ok := errors.AsType[*LineError](err); ok {
				no = bad.Line
			} else if errors.Is(err, io.EOF) || errors.Is(err, ErrOptions) {
				return
			} else if err != nil {
				t.Fatal(err)
			} else if err := storage.ValidatePoint(&rec.Point, storage.DefaultLimits); err != nil {
				t.Fatal(err)
			}
			if no <= last || no > int64(bound) {
				t.Fatalf("line %d behind line %d", no, last)
			}
			last = no
		}
	})
}

func FuzzLineProtocol(f *testing.F) {
	f.Add("m,host=a f=1,s=\"x\ny\" 5\nm f=\"")
	f.Add("m f=1 1\n#\n\n m,a=\\ b f=2i")
	fuzzReader(f, Options{})
}

func FuzzCSV(f *testing.F) {
	f.Add("id,time,f\na,1,\"x\ny\"\na,2,\"")
	fuzzReader(f, Options{Format: FormatCSV, Collection: "c"})
}

func FuzzNDJSON(f *testing.F) {
	f.Add(`{"id":"a","f":{"i":1},"s":"\n\u00e9"}` + "\n{}")
	fuzzReader(f, Options{Format: FormatNDJSON, Collection: "c"})
}

// FuzzJSONPoint: what is taken is JSON.
func FuzzJSONPoint(f *testing.F) {
	f.Add([]byte(`{"id":"a","time":"2026-01-01T00:00:00Z","f":-0.5e-3,"u":{"u":1},"b":true,"n":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := ParsePoint(b, "d", "c"); err == nil && !json.Valid(b) {
			t.Fatalf("%q is no JSON", b)
		}
	})
}
