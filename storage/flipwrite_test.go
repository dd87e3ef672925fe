package storage

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// flipPlaces are the bytes of each class that flip without SOAK; with it all do.
const flipPlaces = 2

// writesAfter are what a shard does by itself after a byte of its file has gone bad: each changes the file.
var writesAfter = map[string]func(t *testing.T, s *Shard) error{
	"flush": func(t *testing.T, s *Shard) error {
		apply(t, s, someChange())
		_, err := s.Flush(t.Context())
		return err
	},
	"cut of new points": func(t *testing.T, s *Shard) error {
		apply(t, s, someChange())
		return rootAtACut(t, s)
	},
	"cut": rootAtACut,
}

// someChange touches few of the leaves of a small shard: a point more, one that is there already, and a device that goes.
func someChange() []byte {
	name := func(d int) string { return fmt.Sprintf("device-with-a-long-name-%030d", d) }
	frames := AppendPut(nil, []Point{point(name(3), 5*int64(time.Second), "v", 1.5), point(name(4), 4, "v", -7.0, "n", 9)})
	return AppendDelete(frames, Delete{point(name(7), 0).Series, MinTime, NoEnd})
}

// rootAtACut is what a check asks for: the digests that this computes are stored.
func rootAtACut(t *testing.T, s *Shard) error {
	apply(t, s, AppendCut(nil, Cut{ID: "a cut", Purpose: "check", TTL: time.Hour}))
	v, err := s.AwaitView(t.Context(), "a cut")
	if err != nil {
		return err
	}
	_, _, err = v.Root(t.Context())
	return errors.Join(err, v.Close())
}

// flipWrite is a small file, and what it should be after one of these writes.
type flipWrite struct {
	t       *testing.T
	p       pristine
	devices []Series
	write   func(t *testing.T, s *Shard) error

	before, after *questions
	was, is       map[digest.Leaf]digest.LeafDigest // before and after it
	index         uint64                            // after it
	came          map[string]int
}

func newFlipWrite(t *testing.T, small *Shard, devices []Series, name string) *flipWrite {
	t.Helper()
	f := &flipWrite{t: t, p: pristine{o: small.o}, devices: devices, write: writesAfter[name], came: make(map[string]int)}
	var err error
	if f.p.bytes, err = os.ReadFile(small.o.Path); err != nil {
		t.Fatal(err)
	}
	f.p.classify(t)
	s, _ := f.open(f.p.bytes)
	f.before, f.was = newQuestions(t, s, devices), digestsOf(inspect(t, s).Entries)
	if err := f.write(t, s); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.after, f.is, f.index = newQuestions(t, s, slices.DeleteFunc(slices.Clone(devices), func(d Series) bool { return name != "cut" && d == devices[7] })),
		digestsOf(inspect(t, s).Entries), s.Durable().Index
	if name != "cut" && maps.Equal(f.was, f.is) {
		t.Fatal("it changes nothing")
	}
	must(t, s.Close())
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func digestsOf(entries []digest.Entry) map[digest.Leaf]digest.LeafDigest {
	out := make(map[digest.Leaf]digest.LeafDigest)
	for _, e := range entries {
		out[e.Leaf] = e.LeafDigest
	}
	return out
}

// open opens a shard of a file with these bytes; an error says that it is damaged.
func (f *flipWrite) open(b []byte) (*Shard, error) {
	f.t.Helper()
	o := f.p.o
	o.Path, o.InitialMmapSize = filepath.Join(f.t.TempDir(), "shard.db"), 1<<20
	must(f.t, os.WriteFile(o.Path, b, 0o600))
	return OpenShard(o)
}

// right asks a shard everything, which is as it was or as it is; whatever it answers without an error has to be right, and so
// has every digest that it stores or computes. A list may have what is deleted where that was found to be damaged, and said:
// nobody knows, then, what is left of it.
func (f *flipWrite) right(what string, s *Shard, q *questions, want map[digest.Leaf]digest.LeafDigest, said bool) (sound bool) {
	wrong, met, err := q.wrong(s)
	if said && slices.Equal(wrong, []string{"list"}) {
		if list, err := s.Series("", ""); err == nil && slices.Equal(list, f.devices) {
			f.came["listed still"]++
			wrong = nil
		}
	}
	if len(wrong) > 0 || err != nil {
		f.t.Errorf("%s: wrong, and nobody says so: %v, %v", what, wrong, err)
	}
	bad := s.Distrusted()
	v, err := s.Look(f.t.Context())
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			f.t.Errorf("%s: %v", what, err)
		}
		return false
	}
	defer v.Close()
	_, stored, err := v.Root(f.t.Context())
	if err != nil && !errors.Is(err, ErrDamaged) {
		f.t.Errorf("%s: %v", what, err)
	}
	if err == nil {
		f.compare(what+", told", stored, want, nil)
	}
	r, inspected := v.Inspect(f.t.Context(), nil)
	if inspected != nil && !errors.Is(inspected, ErrDamaged) {
		f.t.Errorf("%s: inspect: %v", what, inspected)
	}
	if inspected == nil && r.Structure == nil {
		except := make(map[digest.Leaf]bool)
		for _, b := range r.Bad {
			except[b.Leaf] = true
		}
		f.compare(what+", read", r.Entries, want, except)
	}
	return met == 0 && len(bad) == 0 && err == nil && inspected == nil && r.Structure == nil && len(r.Bad) == 0 && len(r.Digests) == 0
}

// compare holds digests that a shard vouches for against the right ones; those of leaves that it calls bad are none of these.
func (f *flipWrite) compare(what string, got []digest.Entry, want map[digest.Leaf]digest.LeafDigest, except map[digest.Leaf]bool) {
	told := digestsOf(got)
	for leaf, d := range want {
		if !except[leaf] && told[leaf] != d {
			f.t.Errorf("%s: leaf %v has %v, right is %v", what, leaf, told[leaf], d)
		}
	}
	for leaf := range told {
		if _, some := want[leaf]; !some && !except[leaf] && told[leaf].Points > 0 {
			f.t.Errorf("%s: leaf %v is not there", what, leaf)
		}
	}
}

// flip lets one byte go bad under an open shard, which then writes. What it says and serves then is right or an error; so is
// what a start finds; and with the byte put right again nothing wrong is anywhere else.
func (f *flipWrite) flip(class string, at int, pattern byte) {
	what := fmt.Sprintf("%s, byte %d ^ %#x", class, at, pattern)
	s, err := f.open(f.p.bytes)
	if err != nil {
		f.t.Fatal(err)
	}
	page := at / os.Getpagesize() * os.Getpagesize()
	spoiled := bytes.Clone(f.p.bytes[page:min(page+os.Getpagesize(), len(f.p.bytes))])
	spoiled[at-page] ^= pattern
	writeOver(f.t, s.o.Path, int64(at), []byte{spoiled[at-page]})
	err = f.write(f.t, s)
	said := err != nil || s.Err() != nil || len(s.Distrusted()) > 0
	switch {
	case err != nil && !errors.Is(err, ErrDamaged):
		f.t.Errorf("%s: %v", what, err)
	case err == nil:
		f.right(what+", open", s, f.after, f.is, len(s.Distrusted()) > 0)
	}
	if err := s.Abandon(); err != nil && !errors.Is(err, ErrDamaged) {
		f.t.Errorf("%s: %v", what, err)
	}
	b, err := os.ReadFile(s.o.Path)
	must(f.t, err)
	f.start(what+", started", b, said)
	if bytes.Equal(b[page:page+len(spoiled)], spoiled) { // not used again
		b[at] ^= pattern
		sound := f.start(what+", put right", b, said)
		switch {
		case sound && said:
			f.came["met, and whole but for that"]++
		case sound:
			f.came["gone by"]++
		default:
			f.came["copied, and told"]++
		}
		if !sound && !said {
			f.came["copied, and told later only"]++
		}
		return
	}
	f.came["page written again"]++
}

// start opens a file: its shard is as before the write, or as after it.
func (f *flipWrite) start(what string, b []byte, said bool) (sound bool) {
	s, err := f.open(b)
	if err != nil {
		return false // it is refused, and replaced
	}
	q, want := f.before, f.was
	if s.Durable().Index == f.index {
		q, want = f.after, f.is
	}
	sound = f.right(what, s, q, want, said)
	if err := s.Abandon(); err != nil && !errors.Is(err, ErrDamaged) {
		f.t.Errorf("%s: %v", what, err)
	}
	return sound
}

// TestDamagedBytesAreNotWrittenOnwards: a byte of a file goes bad, whichever it is, and then its shard flushes, or takes a
// cut and stores the digests of it. Nothing wrong gets a digest or a checksum of its own. SOAK: every byte of the file.
func TestDamagedBytesAreNotWrittenOnwards(t *testing.T) {
	small, devices := smallShard(t, 3)
	must(t, small.Close())
	random := rand.New(rand.NewPCG(61, 62))
	for _, name := range slices.Sorted(maps.Keys(writesAfter)) {
		t.Run(name, func(t *testing.T) {
			f := newFlipWrite(t, small, devices, name)
			flips := 0
			for _, class := range slices.Sorted(maps.Keys(f.p.classes)) {
				offsets := slices.Clone(f.p.classes[class])
				if os.Getenv("SOAK") == "" || class == "end of the file" { // of that there is a megabyte
					random.Shuffle(len(offsets), func(i, j int) { offsets[i], offsets[j] = offsets[j], offsets[i] })
					offsets = offsets[:min(len(offsets), flipPlaces)]
				} else {
					t.Logf("%d flips: %v; next are %d bytes of class %q", flips, f.came, len(offsets), class)
				}
				for _, at := range offsets {
					f.flip(class, at, byte(1+random.IntN(255)))
					flips++
				}
			}
			t.Logf("%d flips: %v", flips, f.came)
			if f.came["met, and whole but for that"] == 0 || f.came["gone by"] == 0 {
				t.Error("the flips show nothing")
			}
		})
	}
}
