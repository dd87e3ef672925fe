package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/bytemap"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// rounds is how often a randomized test runs: SOAK times as often in make soak.
func rounds(n int) int {
	if times, err := strconv.Atoi(os.Getenv("SOAK")); err == nil && times > 1 {
		return n * times
	}
	return n
}

// pristine is a shard file with several levels of pages, free pages and digests, and what it holds.
type pristine struct {
	o       Options
	want    contents
	entries []digest.Entry
	bytes   []byte
	classes map[string][]int // offsets of the bytes of a class
}

func newPristine(t *testing.T) *pristine {
	t.Helper()
	o := testOptions(t)
	o.MaxParts = 3
	s := mustOpen(t, o)
	p := &pristine{o: o, want: contents{}}
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 12 {
		var points []Point
		for d := range 60 {
			pt := point(fmt.Sprint("device-", d), int64(round)*4*int64(time.Second)+random.Int64N(1000), "v", random.Float64(), "n", round*d, "s", fmt.Sprint(d))
			points = append(points, pt)
			for _, f := range pt.Fields {
				p.want.set(pt.Series, pt.Time, f.Name, f.Value)
			}
		}
		apply(t, s, AppendPut(nil, points))
		if round%3 == 0 {
			rootOf(t, s, fmt.Sprint(round))
		}
	}
	rootOf(t, s, "all")
	apply(t, s, AppendNoop(nil))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	r := inspect(t, s)
	if len(r.Bad) > 0 || r.Structure != nil || len(r.Digests) > 0 || len(r.Entries) < 40 || len(r.Harmless) > 0 || r.FreePages == 0 {
		t.Fatalf("a healthy shard: %+v", r)
	}
	p.entries = r.Entries
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.bytes, err = os.ReadFile(o.Path); err != nil {
		t.Fatal(err)
	}
	p.classify(t)
	return p
}

func inspect(t *testing.T, s *Shard) Inspection {
	t.Helper()
	v, err := s.Look(t.Context())
	if err != nil {
		if d := s.file.damaged.Load(); d != nil {
			return Inspection{Structure: d}
		}
		t.Fatal(err)
	}
	defer v.Close()
	r, err := v.Inspect(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// classify says what each byte of the file is, independently of what Inspect makes of it.
func (p *pristine) classify(t *testing.T) {
	t.Helper()
	var err error
	if p.classes, err = bytemap.Of(p.bytes); err != nil {
		t.Fatal(err)
	}
}

// TestDamageOfEveryClassIsFound: a byte is flipped under the open shard, in every class of bytes that the file has. Live
// damage is always found, whatever is not is listed as harmless; before and after nothing wrong is served, and leaves that
// are not named are right.
func TestDamageOfEveryClassIsFound(t *testing.T) {
	p := newPristine(t)
	random := rand.New(rand.NewPCG(5, 6))
	var names []string
	for class := range p.classes {
		names = append(names, class)
	}
	slices.Sort(names)
	for _, must := range []string{"block key", "block value", "block CRC", "digest key", "digest value", "series key", "branch key", "branch element",
		"leaf element", "leaf head", "branch head", "freelist id", "free page", "newest meta", "older meta", "inline bucket", "bucket root"} {
		if !slices.Contains(names, must) {
			t.Errorf("the file has no %s: %v", must, names)
		}
	}
	for _, class := range names {
		t.Run(class, func(t *testing.T) {
			for range rounds(4) {
				offsets := p.classes[class]
				p.try(t, class, offsets[random.IntN(len(offsets))], 1<<random.IntN(8), random)
			}
		})
	}
}

// try flips bits of one byte while the shard is open, and then again before it is opened.
func (p *pristine) try(t *testing.T, class string, at int, flip byte, random *rand.Rand) {
	t.Helper()
	what := fmt.Sprintf("%s: byte %d ^ %#x", class, at, flip)
	s := p.openCopy(t)
	defer s.Abandon()
	writeOver(t, s.o.Path, int64(at), []byte{p.bytes[at] ^ flip})
	p.serves(t, s, what+", before", nil)
	r := inspect(t, s)
	live := !slices.Contains(bytemap.Harmless, class)
	found := r.Structure != nil || len(r.Bad) > 0 || len(r.Digests) > 0
	if live && !found {
		t.Errorf("%s: not found: %+v", what, r.Harmless)
	}
	if !live && found {
		t.Errorf("%s: is harmless: %v %v %v", what, r.Structure, r.Bad, r.Digests)
	}
	if !live && !slices.Contains(bytemap.Mute, class) && len(r.Harmless) == 0 {
		t.Errorf("%s: not listed: %v", what, r.Harmless)
	}
	if r.Structure != nil {
		return
	}
	p.right(t, r, what)
	p.serves(t, s, what+", after", r.Bad)
}

// right makes sure that what an inspection calls readable is as it was, and that every leaf is either that or bad.
func (p *pristine) right(t *testing.T, r Inspection, what string) {
	t.Helper()
	bad := make(map[digest.Leaf]bool)
	for _, b := range r.Bad {
		bad[b.Leaf] = true
	}
	read := make(map[digest.Leaf]digest.LeafDigest)
	for _, e := range r.Entries {
		read[e.Leaf] = e.LeafDigest
	}
	for _, e := range p.entries {
		if !bad[e.Leaf] && read[e.Leaf] != e.LeafDigest {
			t.Errorf("%s: leaf %v is called right, and reads %v", what, e.Leaf, read[e.Leaf])
		}
		if bad[e.Leaf] && read[e.Leaf] == e.LeafDigest {
			t.Logf("%s: leaf %v is blamed, and right", what, e.Leaf)
		}
	}
}

// scanAgainst reads the points of a series: those that are served are right. rows is how many were.
func scanAgainst(t *testing.T, s *Shard, what string, series Series, points map[int64]map[string]blocks.Value) (rows int, err error) {
	t.Helper()
	err = s.Scan(t.Context(), Query{Series: series, From: MinTime, To: NoEnd}, func(_ Series, c *blocks.Columns) error {
		for row, at := range c.Times {
			for name, v := range c.Row(row) {
				if points[at][name] != v {
					t.Errorf("%s: %v at %d, %s is %v", what, series, at, name, v)
				}
			}
		}
		rows += c.Len()
		return nil
	})
	return rows, err
}

// serves reads every point: what is served is right, and it is complete where the leaves are not known to be bad.
func (p *pristine) serves(t *testing.T, s *Shard, what string, bad []BadLeaf) {
	t.Helper()
	for series, points := range p.want {
		rows, err := scanAgainst(t, s, what, series, points)
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
		if err == nil && rows != len(points) {
			t.Errorf("%s: %v has %d points of %d, and nobody says so", what, series, rows, len(points))
		}
	}
}
