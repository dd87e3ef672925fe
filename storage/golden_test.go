package storage

import (
	"bytes"
	"compress/gzip"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

var updateGolden = flag.Bool("update", false, "write the golden file of the current format anew (only before its release)")

// goldenRoot is the root of what the golden files hold: equal points give it in every format and on every system.
const goldenRoot = "ce015b25f2d502774caf6127af7ae7f9becbb1590b9c92467f446b70c49ff94b"

func goldenContents() ([]Point, contents) {
	points := []Point{
		point("dev-1", -5, "a", 1.25, "b", true, "n", -3, "s", "text"),
		point("dev-1", 7*int64(time.Second), "a", 2.5),
		point("デバイス", 25*int64(time.Second), "a", 0.1, "s", ""),
	}
	want := contents{}
	for _, p := range points {
		for _, f := range p.Fields {
			want.set(p.Series, p.Time, f.Name, f.Value)
		}
	}
	return points, want
}

func writeGolden(t *testing.T, path string) {
	t.Helper()
	o := testOptions(t)
	s := mustOpen(t, o)
	points, _ := goldenContents()
	s.Apply([]Entry{{Index: 1, Term: 1, Config: true, Data: []byte("configuration")}})
	apply(t, s, AppendPut(nil, points))
	apply(t, s, AppendLease(nil, Lease{ID: "lease", Purpose: "golden", TTL: time.Hour}))
	rootOf(t, s, "cut")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestFilesOfEveryFormatOpen opens one file a format version and finds what was put into it.
func TestFilesOfEveryFormatOpen(t *testing.T) {
	if *updateGolden {
		writeGolden(t, "testdata/golden/shard-v1.db.gz")
	}
	files, err := filepath.Glob("testdata/golden/shard-v*.db.gz")
	if err != nil || len(files) != fileFormat {
		t.Fatalf("%d golden files for %d formats, %v", len(files), fileFormat, err)
	}
	for _, file := range files {
		packed, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := gzip.NewReader(packed)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		packed.Close()
		o := testOptions(t)
		if err := os.WriteFile(o.Path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, o)
		_, want := goldenContents()
		compare(t, file, readAll(t, s, false), want)
		if c, i := s.Configuration(); string(c) != "configuration" || i != 1 {
			t.Errorf("%s: configuration %q at %d", file, c, i)
		}
		if l := s.Leases(); len(l) != 1 || l[0] != (Record{ID: "lease", Purpose: "golden", Index: 3, TTL: time.Hour, Log: true}) {
			t.Errorf("%s: leases %+v", file, l)
		}
		if root := rootOf(t, s, "now"); root.String() != goldenRoot {
			t.Errorf("%s: root %s", file, root)
		}
		if v := s.FormatVersion(); v != blocks.FormatVersion {
			t.Errorf("%s: block format %d", file, v)
		}
	}
}
