package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/blocks"
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
	if len(r.Bad) > 0 || r.Structure != nil || len(r.Digests) > 0 || len(r.Entries) < 40 {
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
	p.classes = make(map[string][]int)
	f, err := os.Open(p.o.Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	metas, txids, err := readMetas(f, 4096)
	if err != nil {
		t.Fatal(err)
	}
	newer := 0
	if txids[1] > txids[0] {
		newer = 1
	}
	p.span("newest meta", newer*4096+metaAt, metaBytes)
	p.span("older meta", (1-newer)*4096+metaAt, metaBytes)
	p.span("tail of a meta page", newer*4096+metaAt+metaBytes, 4096-metaAt-metaBytes)
	m, err := parseMeta(metas[newer])
	if err != nil {
		t.Fatal(err)
	}
	free := make(map[uint64]bool)
	head, err := pageHead(m.freelist, p.bytes[m.freelist*4096:])
	if err != nil {
		t.Fatal(err)
	}
	ids, used, err := head.freeIDs(m.pages)
	if err != nil {
		t.Fatal(err)
	}
	p.span("freelist head", int(m.freelist)*4096, pageHeadBytes)
	p.span("freelist id", int(m.freelist)*4096+pageHeadBytes, used-pageHeadBytes)
	for _, id := range ids {
		free[id] = true
		p.span("free page", int(id)*4096, 4096)
	}
	p.span("end of the file", int(m.pages)*4096, len(p.bytes)-int(m.pages)*4096)
	for id := uint64(2); id < m.pages; id++ {
		if free[id] || id >= m.freelist && id <= m.freelist+head.overflow {
			continue
		}
		pg, err := pageHead(id, p.bytes[id*4096:])
		if err != nil {
			t.Fatal(err)
		}
		p.page(t, &pg, id == m.root)
		id += pg.overflow
	}
}

func (p *pristine) span(class string, at, n int) {
	for i := range n {
		p.classes[class] = append(p.classes[class], at+i)
	}
}

// page classifies a branch or leaf page.
func (p *pristine) page(t *testing.T, pg *boltPage, root bool) {
	t.Helper()
	pg.bytes = pg.bytes[:(pg.overflow+1)*4096]
	list, used, err := pg.elements(nil)
	if err != nil {
		t.Fatal(err)
	}
	kind, at := "leaf", int(pg.id)*4096
	if pg.flags == pageBranch {
		kind = "branch"
	}
	p.span(kind+" head", at, pageHeadBytes)
	p.span(kind+" element", at+pageHeadBytes, pageElementBytes*pg.count)
	p.span("tail of a page", at+used, len(pg.bytes)-used)
	for i, e := range list {
		element := at + pageHeadBytes + pageElementBytes*i
		pos, sizeAt := binary.NativeEndian.Uint32(p.bytes[element:]), 4
		if kind == "leaf" {
			pos, sizeAt = binary.NativeEndian.Uint32(p.bytes[element+4:]), 8
		}
		key := element + int(pos)
		keyBytes := int(binary.NativeEndian.Uint32(p.bytes[element+sizeAt:]))
		what := "block"
		switch {
		case root:
			what = "bucket"
		case len(e.key) == leafKeyBytes && len(e.value) == digestBytes+crcBytes:
			what = "digest"
		case len(e.value) == crcBytes:
			what = "series"
		case e.key[0] >= 'a' && e.key[0] <= 'z':
			what = "meta"
		}
		if kind == "branch" {
			what = "branch"
		}
		p.span(what+" key", key, keyBytes)
		if n := len(e.value); n > 0 && what != "bucket" {
			p.span(what+" value", key+keyBytes, max(n-crcBytes, 0))
			p.span(what+" CRC", key+keyBytes+max(n-crcBytes, 0), min(n, crcBytes))
		} else if what == "bucket" {
			p.span("bucket root", key+keyBytes, 8)
			if n > bucketHeadBytes {
				p.span("inline bucket", key+keyBytes+bucketHeadBytes, n-bucketHeadBytes)
			}
		}
	}
}

// harmless are the classes that nobody reads.
var harmless = []string{"older meta", "free page", "end of the file", "tail of a page", "tail of a meta page"}

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
	o := p.o
	o.Path, o.InitialMmapSize = filepath.Join(t.TempDir(), "shard.db"), 4<<20
	if err := os.WriteFile(o.Path, p.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := OpenShard(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Abandon()
	f, err := os.OpenFile(o.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{p.bytes[at] ^ flip}, int64(at)); err != nil {
		t.Fatal(err)
	}
	p.serves(t, s, what+", before", nil)
	r := inspect(t, s)
	live := !slices.Contains(harmless, class)
	found := r.Structure != nil || len(r.Bad) > 0 || len(r.Digests) > 0
	if live && !found {
		t.Errorf("%s: not found: %+v", what, r.Harmless)
	}
	if !live && found {
		t.Errorf("%s: is harmless: %v %v %v", what, r.Structure, r.Bad, r.Digests)
	}
	if !live && class != "free page" && class != "end of the file" && len(r.Harmless) < 2 {
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

// serves reads every point: what is served is right, and it is complete where the leaves are not known to be bad.
func (p *pristine) serves(t *testing.T, s *Shard, what string, bad []BadLeaf) {
	t.Helper()
	for series, points := range p.want {
		rows := 0
		err := s.Scan(t.Context(), Query{Series: series, From: MinTime, To: NoEnd}, func(_ Series, c *blocks.Columns) error {
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
		if err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
		if err == nil && rows != len(points) && !pageDamage(what) {
			t.Errorf("%s: %v has %d points of %d, and nobody says so", what, series, rows, len(points))
		}
	}
}

// pageDamage is what bbolt takes as it comes, so that reads may lack records until the next look at the pages: a count
// that is too low, a page that leads elsewhere.
func pageDamage(what string) bool {
	for _, class := range []string{"leaf head", "leaf element", "branch head", "branch element", "branch key", "bucket root", "inline bucket"} {
		if len(what) > len(class) && what[:len(class)] == class && what[len(what)-len("before"):] == "before" {
			return true
		}
	}
	return false
}
