package storage

import (
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

func TestDumpShowsAFileWithoutChangingIt(t *testing.T) {
	o := testOptions(t)
	s := mustOpen(t, o)
	apply(t, s, AppendPut(nil, []Point{point("d", 1, "v", 1), point("e", -1, "v", 1)}))
	s.Apply([]Entry{{Index: 2, Term: 3, Config: true, Data: []byte("voters")}})
	rootOf(t, s, "c")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	d, err := OpenReadOnly(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	meta, err := d.Meta()
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, m := range meta {
		text += m.Name + ": " + m.Value + "\n"
	}
	for _, want := range []string{"applied: index 4, term 1", "cluster: c", "configuration: index 2, 6 bytes", "group: 7", "lineage: l", "window: 10s", "2 parts, 2 series"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	var devices []string
	err = d.Parts(func(p DumpPart) error {
		devices = append(devices, p.Series.Device)
		if p.Err != nil || p.Header.Rows != 1 {
			t.Errorf("%+v", p)
		}
		return d.Points(p.Leaf, p.Series, func(c *blocks.Columns) error {
			if c.Len() != 1 {
				t.Errorf("%v has %d points", p.Series, c.Len())
			}
			return nil
		})
	})
	if err != nil || strings.Join(devices, " ") != "e d" {
		t.Errorf("%v, %v", devices, err)
	}
	digests := 0
	if err := d.Digests(func(e DumpDigest) error { digests++; return e.Err }); err != nil || digests != 2 {
		t.Errorf("%d digests, %v", digests, err)
	}
	if err := d.Check(); err != nil {
		t.Error(err)
	}
	if _, err := OpenReadOnly(o.Path + "-none"); err == nil {
		t.Error("a file that does not exist was opened")
	}
}
