package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// openCopy opens a copy of the pristine file.
func (p *pristine) openCopy(t *testing.T) *Shard {
	t.Helper()
	o := p.o
	o.Path, o.InitialMmapSize = filepath.Join(t.TempDir(), "shard.db"), 4<<20
	if err := os.WriteFile(o.Path, p.bytes, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := OpenShard(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Abandon() })
	return s
}

// writeOver writes bytes into a file in place, as cp does.
func writeOver(t *testing.T, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
}

// openFlipped is openCopy, with bits of a random byte of a class flipped then.
func (p *pristine) openFlipped(t *testing.T, class string, random *rand.Rand, bits byte) (s *Shard, what string) {
	t.Helper()
	s = p.openCopy(t)
	at := p.classes[class][random.IntN(len(p.classes[class]))]
	writeOver(t, s.o.Path, int64(at), []byte{p.bytes[at] ^ bits})
	return s, fmt.Sprintf("%s, byte %d ^ %#x", class, at, bits)
}

// abandon abandons a shard that may have been found to be damaged.
func abandon(t *testing.T, s *Shard) {
	t.Helper()
	if err := s.Abandon(); err != nil && !errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

// TestDamageAtRandomOffsetsIsFound: whatever lies there, live or not.
func TestDamageAtRandomOffsetsIsFound(t *testing.T) {
	p := newPristine(t)
	random := rand.New(rand.NewPCG(7, 8))
	class := make(map[int]string)
	for name, offsets := range p.classes {
		for _, at := range offsets {
			class[at] = name
		}
	}
	used := usedPages(p.bytes)
	for range rounds(60) {
		at := used[random.IntN(len(used))]*4096 + random.IntN(4096)
		name, ok := class[at]
		if !ok || name == "freelist head" {
			continue // heads of meta pages, padding
		}
		p.try(t, name, at, byte(1+random.IntN(255)), random)
	}
}

// TestExchangedFilesAreFound: another group's file, an older copy, a file without its end and none at all, in place of the
// open one or in the place of its bytes. Nothing is served from them.
func TestExchangedFilesAreFound(t *testing.T) {
	p := newPristine(t)
	other := p.o
	other.Path, other.Identity.Group = filepath.Join(t.TempDir(), "other.db"), 8
	foreign := mustOpen(t, other)
	for i := range 9 {
		apply(t, foreign, AppendPut(nil, []Point{point("device-1", int64(i), "v", 66.6)}))
		if _, err := foreign.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := foreign.Close(); err != nil {
		t.Fatal(err)
	}
	foreignBytes, err := os.ReadFile(other.Path)
	if err != nil {
		t.Fatal(err)
	}
	onwards := func(s *Shard) {
		for i := range 3 {
			apply(t, s, AppendPut(nil, []Point{point("late", int64(i), "v", 1.0)}))
			if _, err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, exchange := range map[string]func(s *Shard) error{
		"renamed over": func(s *Shard) error {
			return errors.Join(os.WriteFile(s.o.Path+"2", foreignBytes, 0o600), os.Rename(s.o.Path+"2", s.o.Path))
		},
		"removed":                 func(s *Shard) error { return os.Remove(s.o.Path) },
		"another group, in place": func(s *Shard) error { writeOver(t, s.o.Path, 0, foreignBytes); return nil },
		"stale copy, in place":    func(s *Shard) error { onwards(s); writeOver(t, s.o.Path, 0, p.bytes); return nil },
		"stale copy, renamed": func(s *Shard) error {
			onwards(s)
			return errors.Join(os.WriteFile(s.o.Path+"2", p.bytes, 0o600), os.Rename(s.o.Path+"2", s.o.Path))
		},
		"truncated": func(s *Shard) error { return os.Truncate(s.o.Path, int64(slices.Max(usedPages(p.bytes))/2*4096)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := p.openCopy(t)
			if err := exchange(s); err != nil {
				t.Fatal(err)
			}
			p.serves(t, s, name+", before", nil)
			if _, r, err := s.Scrub(t.Context(), "", 1<<10); err == nil && r.Structure == nil || err != nil && !errors.Is(err, ErrDamaged) {
				t.Errorf("scrub: %+v, %v", r, err)
			}
			if r := inspect(t, s); r.Structure == nil {
				t.Errorf("not found: %+v", r)
			}
			if err := s.Scan(t.Context(), Query{Series: Series{"db", "c", "device-1"}, From: 0, To: 10}, nil); !errors.Is(err, ErrDamaged) {
				t.Errorf("served on: %v", err)
			}
		})
	}
}

// TestDamagedMetaAtOpen: of a file at rest, a meta page that is damaged tells what it was by its last bit, or by
// what the pages hold that it led to; the older one may be damaged.
func TestDamagedMetaAtOpen(t *testing.T) {
	p := newPristine(t)
	newer, older := p.classes["newest meta"], p.classes["older meta"]
	for name, c := range map[string]struct {
		offsets []int
		bytes   int
		opens   bool
	}{
		"newest, a bit":     {newer, 1, false},
		"newest, all of it": {newer, len(newer), false},
		"older, a bit":      {older, 1, true},
		"older, all of it":  {older, len(older), true},
	} {
		for at := 0; at < len(c.offsets); at += c.bytes {
			b := bytes.Clone(p.bytes)
			for i := range c.bytes {
				b[c.offsets[at+i]] ^= byte(0x55 | c.bytes>>1)
			}
			if c.bytes == 1 {
				b[c.offsets[at]] = p.bytes[c.offsets[at]] ^ 4
			}
			o := p.o
			o.Path = filepath.Join(t.TempDir(), "shard.db")
			if err := os.WriteFile(o.Path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := OpenShard(o)
			if opens := err == nil; opens != c.opens || err != nil && !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s, at %d: %v", name, at, err)
			}
			if s == nil {
				continue
			}
			if r := inspect(t, s); r.Structure != nil || !slices.ContainsFunc(r.Harmless, func(s string) bool { return bytes.Contains([]byte(s), []byte("older")) }) {
				t.Errorf("%s: %+v", name, r)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestScrubReadsAllInSteps: steps add up to the whole, whatever is written meanwhile; damage is found in one of them.
func TestScrubReadsAllInSteps(t *testing.T) {
	p := newPristine(t)
	s := p.openCopy(t)
	scrub := func(each func()) (r Inspection, steps int) {
		t.Helper()
		for cursor := ""; cursor != "" || steps == 0; steps++ {
			next, step, err := s.Scrub(t.Context(), cursor, 16<<10)
			if err != nil {
				t.Fatal(err)
			}
			r.Leaves += step.Leaves
			r.Entries, r.Bad = append(r.Entries, step.Entries...), append(r.Bad, step.Bad...)
			if step.Structure != nil {
				t.Fatal(step.Structure)
			}
			cursor = next
			each()
		}
		return r, steps
	}
	r, steps := scrub(func() {})
	if !slices.Equal(r.Entries, p.entries) || len(r.Bad) > 0 || steps < 3 {
		t.Fatalf("%d steps, %d of %d leaves, bad %v", steps, len(r.Entries), len(p.entries), r.Bad)
	}
	n := 0
	r, _ = scrub(func() {
		n++
		apply(t, s, AppendPut(nil, []Point{point(fmt.Sprint("device-", n), int64(n)*int64(time.Second), "x", n)}))
		if _, err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	if r.Leaves < len(p.entries) || len(r.Bad) > 0 {
		t.Fatalf("beside writes: %d leaves, bad %v", r.Leaves, r.Bad)
	}
	flipBlock(t, s, Series{"db", "c", "device-33"}, 3)
	leaf := digest.Leaf{Window: 3, Slot: SlotOf(Series{"db", "c", "device-33"}.Key())}
	if r, _ = scrub(func() {}); len(r.Bad) != 1 || r.Bad[0].Leaf != leaf || !slices.Equal(s.Distrusted(), []digest.Leaf{leaf}) {
		t.Fatalf("bad %v, distrusted %v", r.Bad, s.Distrusted())
	}
}

// TestStatesNameUnreadableLeaves: every leaf has its digest or its error, whatever the stored digest says.
func TestStatesNameUnreadableLeaves(t *testing.T) {
	p := newPristine(t)
	s := p.openCopy(t)
	series := Series{"db", "c", "device-33"}
	leaf := digest.Leaf{Window: 2, Slot: SlotOf(series.Key())}
	stored := new([]byte)
	s.file.change(t, func(tx *bolt.Tx) error { // what was stored before the block rotted
		*stored = bytes.Clone(tx.Bucket(bucketDigests).Get(appendLeaf(nil, leaf)))
		return nil
	})
	flipBlock(t, s, series, leaf.Window)
	v := look(t, s)
	for name, list := range map[string]func() ([]LeafState, error){
		"reread, all": func() ([]LeafState, error) { return v.States(t.Context(), true, nil) },
		"reread, named": func() ([]LeafState, error) {
			return v.States(t.Context(), true, []digest.Leaf{leaf, {Window: 99}, {Window: 1, Slot: leaf.Slot}})
		},
		"stored, then": func() ([]LeafState, error) { return v.States(t.Context(), false, nil) },
	} {
		got, err := list()
		if err != nil {
			t.Fatal(name, err)
		}
		for _, st := range got {
			i := slices.IndexFunc(p.entries, func(e digest.Entry) bool { return e.Leaf == st.Leaf })
			switch {
			case st.Leaf == leaf:
				if !errors.Is(st.Err, ErrDamaged) && name != "stored, then" {
					t.Errorf("%s: the bad leaf is %+v", name, st)
				}
			case st.Leaf.Window == 99 && (st.Points != 0 || st.Err != nil):
				t.Errorf("%s: an absent leaf is %+v", name, st)
			case i >= 0 && (st.Err != nil || st.Entry != p.entries[i]):
				t.Errorf("%s: %+v", name, st)
			}
		}
	}
	if got := s.Distrusted(); !slices.Equal(got, []digest.Leaf{leaf}) {
		t.Fatalf("distrusted %v", got)
	}
	d, err := v.LeafDetail(t.Context(), leaf, 2)
	if err != nil || d.Unreadable == 0 || len(d.Series) != 2 || !d.More || d.First < WindowStart(2, int64(testWindow)) || d.Last >= windowEnd(2, int64(testWindow)) {
		t.Errorf("detail %+v, %v", d, err)
	}
	var evidence bytes.Buffer
	if n, err := v.Evidence(leaf, &evidence); err != nil || int(n) != evidence.Len() || !bytes.HasPrefix(evidence.Bytes(), []byte(evidenceMagic)) || !bytes.Contains(evidence.Bytes(), *stored) {
		t.Errorf("evidence: %d of %d bytes, %v", n, evidence.Len(), err)
	}
	if n, err := v.Evidence(digest.Leaf{Window: 99}, io.Discard); err != nil || n == 0 {
		t.Errorf("evidence of nothing: %d, %v", n, err)
	}
}

// TestDistrustedLeavesAreNotServed: by scans that cross them, running ones included; others go on.
func TestDistrustedLeavesAreNotServed(t *testing.T) {
	p := newPristine(t)
	s := p.openCopy(t)
	series := Series{"db", "c", "device-3"}
	leaf := digest.Leaf{Window: 2, Slot: SlotOf(series.Key())}
	scan := func(from, to int64, down bool, limit int, each func()) error {
		return s.Scan(t.Context(), Query{Series: series, From: from, To: to, Descending: down, Limit: limit}, func(Series, *blocks.Columns) error { each(); return nil })
	}
	s.Distrust(leaf)
	w := int64(testWindow)
	for name, c := range map[string]struct {
		from, to int64
		down     bool
		limit    int
		served   bool
	}{
		"all": {MinTime, NoEnd, false, 0, false}, "all, newest first": {MinTime, NoEnd, true, 0, false},
		"before": {MinTime, 2 * w, false, 0, true}, "after": {3 * w, NoEnd, true, 0, true}, "one ns of it": {2*w + 1, 2*w + 2, false, 0, false},
		"the newest alone": {MinTime, NoEnd, true, 1, true}, "the oldest alone": {MinTime, NoEnd, false, 1, true},
	} {
		if err := scan(c.from, c.to, c.down, c.limit, func() {}); errors.Is(err, ErrDamaged) == c.served {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.Trust(leaf)
	if err := scan(MinTime, NoEnd, false, 0, func() {}); err != nil {
		t.Error(err)
	}
	chunks := 0
	err := scan(MinTime, NoEnd, false, 0, func() {
		if chunks++; chunks == 1 {
			s.Distrust(leaf)
		}
	})
	var d *DamageError
	if !errors.As(err, &d) || d.Structure || d.Leaf != leaf || chunks != 2 {
		t.Errorf("found while it runs, after %d chunks: %v", chunks, err)
	}
}

// TestLeafFoundBadInMidScanIsServedNoFurther: a scan that has begun to yield a leaf yields nothing more of it from the
// moment on in which it is distrusted, and what it has yielded before is right.
func TestLeafFoundBadInMidScanIsServedNoFurther(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	const rows = 3*blocks.MaxRows + 7
	var points []Point
	for i := range rows {
		points = append(points, point("long", int64(i), "v", i), point("other", int64(i), "v", i))
	}
	apply(t, s, AppendPut(nil, points[:rows]))
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply(t, s, AppendPut(nil, points[rows:])) // half of them are in the head alone
	leaf := digest.Leaf{Slot: SlotOf(Series{"db", "c", "long"}.Key())}
	for name, q := range map[string]Query{
		"upwards":          {Series: Series{"db", "c", "long"}, From: MinTime, To: NoEnd},
		"newest first":     {Series: Series{"db", "c", "long"}, From: MinTime, To: NoEnd, Descending: true},
		"with a limit":     {Series: Series{"db", "c", "long"}, From: 5, To: rows - 5, Limit: 2 * blocks.MaxRows},
		"of a collection":  {Series: Series{Database: "db", Collection: "c"}, From: MinTime, To: NoEnd},
		"of a few columns": {Series: Series{"db", "c", "long"}, From: 0, To: rows, Fields: []string{"v", "w"}},
	} {
		s.Trust()
		chunks, whole := 0, 0
		err := s.Scan(t.Context(), q, func(series Series, c *blocks.Columns) error {
			if series.Device != "long" {
				return nil
			}
			if chunks++; chunks == 2 {
				s.Distrust(leaf)
			}
			for i, at := range c.Times {
				if int64(c.Cols[0].Nums[i]) != at {
					t.Errorf("%s: %d at %d", name, c.Cols[0].Nums[i], at)
				}
			}
			return nil
		})
		if d, ok := errors.AsType[*DamageError](err); !ok || d.Structure || d.Leaf != leaf || chunks != 2 {
			t.Errorf("%s: %d chunks, then %v", name, chunks, err)
		}
		s.Trust(leaf)
		if err := s.Scan(t.Context(), q, func(_ Series, c *blocks.Columns) error { whole += c.Len(); return nil }); err != nil || whole <= blocks.MaxRows {
			t.Errorf("%s, trusted again: %d rows, %v", name, whole, err)
		}
	}
}

// TestPageLostFromTheFreelistIsFound: it is neither in use nor free, and every single record is right.
func TestPageLostFromTheFreelistIsFound(t *testing.T) {
	p := newPristine(t)
	s := p.openCopy(t)
	head := p.classes["freelist head"][0]
	if count := p.bytes[head+10]; count < 2 {
		t.Fatalf("%d free pages", count)
	}
	writeOver(t, s.o.Path, int64(head+10), []byte{p.bytes[head+10] - 1})
	if r := inspect(t, s); r.Structure == nil {
		t.Fatalf("not found: %+v", r)
	}
}
