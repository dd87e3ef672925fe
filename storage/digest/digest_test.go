package digest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"pgregory.net/rapid"
)

// A hasher that is used again gives what a new one gives, also after a leaf that was given up or refused.
func TestResetBeginsAnew(t *testing.T) {
	one, two := block(t, 5, 3), block(t, 9, 1)
	key := []byte("key")
	fill := func(h *LeafHasher) LeafDigest {
		t.Helper()
		if err := errors.Join(h.Series([]byte("a")), h.Block(one), h.Series([]byte("b")), h.Block(two)); err != nil {
			t.Fatal(err)
		}
		d, err := h.Sum()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for name, begin := range map[string]func(leaf Leaf, version uint32) *LeafHasher{
		"digest": NewLeafHasher,
		"keyed":  func(leaf Leaf, version uint32) *LeafHasher { return NewKeyedLeafHasher(key, leaf, version) },
	} {
		used := begin(Leaf{1, 2}, 1)
		for _, before := range []struct {
			what string
			do   func()
		}{
			{"nothing", func() {}},
			{"a leaf", func() { fill(used) }},
			{"half a leaf", func() { _, _ = used.Series([]byte("z")), used.Block(two) }},
			{"an error", func() { _, _ = used.Series([]byte("z")), used.Series([]byte("a")) }},
			{"a wrong slot", func() { used.Reset(Leaf{1, Slots}, 1) }},
		} {
			used.Reset(Leaf{1, 2}, 1)
			before.do()
			used.Reset(Leaf{3, 4}, 2)
			if got, want := fill(used), fill(begin(Leaf{3, 4}, 2)); got != want {
				t.Errorf("%s after %s: %+v, want %+v", name, before.what, got, want)
			}
		}
	}
}

// No two different structures collide: each differs from the others by one boundary, type or coordinate only.
func TestDifferentLeavesHaveDifferentBytes(t *testing.T) {
	one, two, three := block(t, 5, 3), block(t, 9, 1), block(t, 20, 2)
	leaf := Leaf{3, 4}
	seen := map[ID]string{}
	for _, tc := range []struct {
		name    string
		leaf    Leaf
		version uint32
		parts   []part
	}{
		{"plain", leaf, 1, []part{{"ab", [][]byte{one, two, three}}}},
		{"blocks split over two series", leaf, 1, []part{{"ab", [][]byte{one, two}}, {"b", [][]byte{three}}}},
		{"split elsewhere", leaf, 1, []part{{"ab", [][]byte{one}}, {"b", [][]byte{two, three}}}},
		{"key boundary moved", leaf, 1, []part{{"a", [][]byte{one, two}}, {"bb", [][]byte{three}}}},
		{"shorter key", leaf, 1, []part{{"a", [][]byte{one, two, three}}}},
		{"longer key", leaf, 1, []part{{"ab\x00", [][]byte{one, two, three}}}},
		{"empty key", leaf, 1, []part{{"", [][]byte{one, two, three}}}},
		{"key that holds a record", leaf, 1, []part{{"ab" + string(appendRecordHead(nil, recordBlock, len(one))) + string(one), [][]byte{two, three}}}},
		{"a block less", leaf, 1, []part{{"ab", [][]byte{one, two}}}},
		{"another block", leaf, 1, []part{{"ab", [][]byte{one, three}}}},
		{"other window", Leaf{4, 4}, 1, []part{{"ab", [][]byte{one, two, three}}}},
		{"negative window", Leaf{-3, 4}, 1, []part{{"ab", [][]byte{one, two, three}}}},
		{"other slot", Leaf{3, 5}, 1, []part{{"ab", [][]byte{one, two, three}}}},
		{"window and slot exchanged", Leaf{4, 3}, 1, []part{{"ab", [][]byte{one, two, three}}}},
		{"other format", leaf, 2, []part{{"ab", [][]byte{one, two, three}}}},
		{"nothing", leaf, 1, nil},
	} {
		d, raw := leafOf(t, tc.leaf, tc.version, tc.parts...)
		if ID(sha256.Sum256(raw)) != d.ID || int(d.Bytes) != len(raw) {
			t.Errorf("%s: the leaf bytes are not what was hashed: %+v, %d bytes", tc.name, d, len(raw))
		}
		if other, ok := seen[d.ID]; ok {
			t.Errorf("%s has the digest of %s", tc.name, other)
		}
		seen[d.ID] = tc.name
	}
	entry := Entry{leaf, LeafDigest{ID{1}, 2, 3}}
	for name, entries := range map[string][]Entry{
		"empty manifest": nil, "entry": {entry}, "entry twice": {entry, entry},
		"window":   {{Leaf{2, 4}, entry.LeafDigest}},
		"slot":     {{Leaf{3, 3}, entry.LeafDigest}},
		"id":       {{leaf, LeafDigest{ID{2}, 2, 3}}},
		"points":   {{leaf, LeafDigest{ID{1}, 3, 3}}},
		"bytes":    {{leaf, LeafDigest{ID{1}, 2, 2}}},
		"exchange": {{leaf, LeafDigest{ID{1}, 3, 2}}},
	} {
		root := Root(entries)
		if other, ok := seen[root]; ok {
			t.Errorf("root of %s collides with %s", name, other)
		}
		seen[root] = name
	}
}

func TestRootDoesNotDependOnTheOrderGiven(t *testing.T) {
	entries := []Entry{{Leaf: Leaf{-2, 1}}, {Leaf: Leaf{-2, 15}}, {Leaf: Leaf{0, 0}}, {Leaf: Leaf{1, 0}}, {Leaf: Leaf{1, 9}}}
	want := Root(entries)
	shuffled := []Entry{entries[3], entries[0], entries[4], entries[1], entries[2]}
	before := slices.Clone(shuffled)
	if got := Root(shuffled); got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	if !slices.Equal(before, shuffled) {
		t.Fatal("Root changed its argument")
	}
}

func TestSeriesWithoutBlocksLeavesNoTrace(t *testing.T) {
	b := block(t, 1, 2)
	want, _ := leafOf(t, Leaf{}, 1, part{"b", [][]byte{b}})
	got, _ := leafOf(t, Leaf{}, 1, part{"a", nil}, part{"b", [][]byte{b}}, part{"c", nil})
	if got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

func TestHasherRefusesAndStaysRefused(t *testing.T) {
	early, late := block(t, 1, 5), block(t, 6, 1)
	overlap, empty := block(t, 5, 1), block(t, 0, 0)
	bad := slices.Clone(late)
	bad[3] ^= 1
	for name, tc := range map[string]struct {
		want error
		do   func(h *LeafHasher) error
	}{
		"block before series":   {ErrOrder, func(h *LeafHasher) error { return h.Block(early) }},
		"series twice":          {ErrOrder, func(h *LeafHasher) error { _ = h.Series([]byte("a")); return h.Series([]byte("a")) }},
		"series falls":          {ErrOrder, func(h *LeafHasher) error { _ = h.Series([]byte("b")); return h.Series([]byte("a")) }},
		"empty key again":       {ErrOrder, func(h *LeafHasher) error { _ = h.Series(nil); return h.Series(nil) }},
		"blocks fall":           {ErrOrder, series(late, early)},
		"block twice":           {ErrOrder, series(early, early)},
		"blocks overlap":        {ErrOrder, series(early, overlap)},
		"empty block":           {ErrOrder, series(empty)},
		"corrupt block":         {blocks.ErrCorrupt, series(early, bad)},
		"not a block":           {blocks.ErrCorrupt, series([]byte("x"))},
		"used after the digest": {ErrOrder, func(h *LeafHasher) error { _, _ = h.Sum(); return h.Series([]byte("a")) }},
	} {
		h := NewLeafHasher(Leaf{}, 1)
		if err := tc.do(h); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		_ = h.Series([]byte("z"))
		_ = h.Block(late)
		if d, err := h.Sum(); !errors.Is(err, tc.want) || d != (LeafDigest{}) {
			t.Errorf("%s: then %+v, %v", name, d, err)
		}
	}
	if _, err := NewLeafHasher(Leaf{Slot: Slots}, 1).Sum(); !errors.Is(err, ErrOrder) {
		t.Errorf("slot out of range: %v", err)
	}
	full := errors.New("disk full")
	h := NewLeafWriter(failing{full}, Leaf{}, 1)
	if _, err := h.Sum(); !errors.Is(err, full) {
		t.Errorf("writer that fails: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// series adds one series with these blocks and returns the first error.
func series(list ...[]byte) func(*LeafHasher) error {
	return func(h *LeafHasher) error {
		err := h.Series([]byte("a"))
		for _, b := range list {
			if err == nil {
				err = h.Block(b)
			}
		}
		return err
	}
}

func TestIDAsText(t *testing.T) {
	id := ID(sha256.Sum256([]byte("x")))
	out, err := json.Marshal(id)
	var back ID
	if err != nil || string(out) != `"`+id.String()+`"` || json.Unmarshal(out, &back) != nil || back != id {
		t.Fatalf("%s, %v, %s", out, err, back)
	}
	for _, text := range []string{"", "00", strings.ToUpper(id.String()), id.String() + "00", strings.Repeat("g", 64)} {
		if _, err := ParseID(text); !errors.Is(err, ErrID) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestLeafOrderHasNegativeWindowsFirst(t *testing.T) {
	order := []Leaf{{math.MinInt64, 0}, {-1, 15}, {0, 0}, {0, 1}, {1, 0}, {math.MaxInt64, 0}}
	for i := range order {
		for j := range order {
			if got := order[i].Compare(order[j]); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%s against %s: %d", order[i], order[j], got)
			}
		}
	}
}

// Parse gives back what was hashed, and one changed byte anywhere is refused or is another content id.
func TestParseGivesBackTheLeaf(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := rapid.SliceOfNDistinct(rapid.StringN(0, 8, 20), 0, 5, rapid.ID[string]).Draw(rt, "keys")
		slices.Sort(keys)
		leaf := Leaf{rapid.Int64().Draw(rt, "window"), uint8(rapid.IntRange(0, 15).Draw(rt, "slot"))}
		var parts []part
		var want, got []string
		for _, key := range keys {
			p, at := part{key: key}, int64(0)
			want = append(want, "S"+key)
			for range rapid.IntRange(1, 3).Draw(rt, "blocks") {
				n := rapid.IntRange(1, 4).Draw(rt, "rows")
				b := block(t, at, n)
				at += int64(n)
				p.blocks, want = append(p.blocks, b), append(want, "B"+string(b))
			}
			parts = append(parts, p)
		}
		d, raw := leafOf(t, leaf, 1, parts...)
		note := func(kind string) func([]byte) error {
			return func(b []byte) error { got = append(got, kind+string(b)); return nil }
		}
		noteBlock := func(b []byte, head blocks.Header) error {
			if h, err := blocks.Peek(b); err != nil || h != head {
				rt.Fatalf("header %+v, want %+v, %v", head, h, err)
			}
			return note("B")(b)
		}
		parsed, err := Parse(raw, Visitor{note("S"), noteBlock})
		if err != nil || parsed != (Parsed{leaf, d, 1}) || !slices.Equal(got, want) {
			rt.Fatalf("%+v, %v\n%q\n%q", parsed, err, got, want)
		}
		at := rapid.IntRange(0, len(raw)-1).Draw(rt, "at")
		raw[at] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		if parsed, err := Parse(raw, Visitor{}); err == nil && parsed.ID == d.ID {
			rt.Fatalf("byte %d changed and not seen", at)
		} else if err != nil && !errors.Is(err, ErrLeafBytes) {
			rt.Fatalf("%v", err)
		}
	})
}

func TestParseStopsAtTheVisitorsError(t *testing.T) {
	_, raw := leafOf(t, Leaf{}, 1, part{"a", [][]byte{block(t, 1, 1)}})
	stop := errors.New("stop")
	if _, err := Parse(raw, Visitor{Block: func([]byte, blocks.Header) error { return stop }}); !errors.Is(err, stop) {
		t.Fatal(err)
	}
}

func TestParseRefusesWhatTheHasherNeverWrites(t *testing.T) {
	b := block(t, 1, 1)
	header, end := appendHeader(nil, Leaf{1, 2}, 1), appendEnd(nil, 1, 1, 1)
	named := append(appendRecordHead(nil, recordSeries, 1), 'a')
	held := append(appendRecordHead(nil, recordBlock, len(b)), b...)
	later := append(appendRecordHead(nil, recordSeries, 1), 'b')
	if _, err := Parse(slices.Concat(header, named, held, end), Visitor{}); err != nil {
		t.Fatalf("the leaf is meant to be good: %v", err)
	}
	layout2, slot16 := slices.Clone(header), slices.Clone(header)
	layout2[len(leafMagic)]++
	slot16[headerBytes-1] = Slots
	for name, raw := range map[string][]byte{
		"nothing":                nil,
		"header only":            header,
		"no end":                 slices.Concat(header, named, held),
		"half an end":            slices.Concat(header, named, held, end[:9]),
		"behind the end":         slices.Concat(header, named, held, end, []byte{0}),
		"wrong counts":           slices.Concat(header, named, held, appendEnd(nil, 1, 1, 2)),
		"series without a block": slices.Concat(header, named, later, held, end),
		"last without a block":   slices.Concat(header, named, held, later, end),
		"block without a series": slices.Concat(header, held, end),
		"unknown record":         slices.Concat(header, []byte{'X', 0, 0, 0, 0}, named, held, end),
		"record past the bytes":  slices.Concat(header, appendRecordHead(nil, recordSeries, 1<<30), named, held, end),
		"layout of the future":   slices.Concat(layout2, named, held, end),
		"slot out of range":      slices.Concat(slot16, named, held, end),
		"magic of a root":        slices.Concat([]byte(rootMagic), header[len(leafMagic):], named, held, end),
		"block damaged":          slices.Concat(header, named, held[:len(held)-1], []byte{held[len(held)-1] ^ 1}, end),
	} {
		if p, err := Parse(raw, Visitor{}); !errors.Is(err, ErrLeafBytes) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	_, raw := leafOf(f, Leaf{-5, 3}, 1, part{"a", [][]byte{block(f, 1, 2), block(f, 9, 1)}}, part{"b", [][]byte{block(f, 1, 1)}})
	f.Add(raw)
	_, raw = leafOf(f, Leaf{}, 1)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []part
		p, err := Parse(b, Visitor{
			func(key []byte) error { again = append(again, part{key: string(key)}); return nil },
			func(b []byte, _ blocks.Header) error {
				last := &again[len(again)-1]
				last.blocks = append(last.blocks, b)
				return nil
			},
		})
		if err != nil {
			return
		}
		if p.ID != ID(sha256.Sum256(b)) || int(p.Bytes) != len(b) {
			t.Fatalf("accepted bytes that are not canonical: %+v", p)
		}
		if d, raw := leafOf(t, p.Leaf, p.FormatVersion, again...); d != p.LeafDigest || string(raw) != string(b) {
			t.Fatalf("%+v, want %+v", d, p.LeafDigest)
		}
	})
}

// A proof differs with the key, with every byte of a leaf, and from what is known without reading the leaves: content
// ids and root.
func TestProofNeedsKeyAndBytes(t *testing.T) {
	seen := map[ID]string{}
	see := func(what string, id ID) {
		t.Helper()
		if other, ok := seen[id]; ok {
			t.Errorf("%s is %s", what, other)
		}
		seen[id] = what
	}
	keyed := func(key string, leaf Leaf, parts ...part) Entry {
		t.Helper()
		h := NewKeyedLeafHasher([]byte(key), leaf, 1)
		for _, p := range parts {
			if err := h.Series([]byte(p.key)); err != nil {
				t.Fatal(err)
			}
			for _, b := range p.blocks {
				if err := h.Block(b); err != nil {
					t.Fatal(err)
				}
			}
		}
		d, err := h.Sum()
		if err != nil {
			t.Fatal(err)
		}
		return Entry{leaf, d}
	}
	a, b := part{"a", [][]byte{block(t, 1, 2)}}, part{"a", [][]byte{block(t, 1, 3)}}
	d, raw := leafOf(t, Leaf{1, 2}, 1, a)
	see("content id", d.ID)
	see("root", Root([]Entry{{Leaf{1, 2}, d}}))
	see("proof of content ids", Proof([]byte("key"), []Entry{{Leaf{1, 2}, d}}))
	one := keyed("key", Leaf{1, 2}, a)
	see("leaf", one.ID)
	see("leaf, other key", keyed("other", Leaf{1, 2}, a).ID)
	see("leaf, other bytes", keyed("key", Leaf{1, 2}, b).ID)
	see("proof", Proof([]byte("key"), []Entry{one}))
	see("proof, other key", Proof([]byte("other"), []Entry{one}))
	two := keyed("key", Leaf{1, 3}, b)
	see("proof of two", Proof([]byte("key"), []Entry{one, two}))
	if Proof([]byte("key"), []Entry{one, two}) != Proof([]byte("key"), []Entry{two, one}) {
		t.Error("a proof depends on the order given")
	}
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write(raw)
	if !bytes.Equal(mac.Sum(nil), one.ID[:]) || one.Bytes != uint64(len(raw)) || one.Points != 2 {
		t.Errorf("leaf %+v is not the HMAC of its bytes", one)
	}
	const golden = "d32f8c962aaa840a865e4d0e8c50c96c12c02fdb94a6e7c2061ac6e15fdd0b7a"
	if got := Proof([]byte("key"), []Entry{one, two}).String(); got != golden {
		t.Errorf("proof of layout 1 is %s", got)
	}
}

func TestEncoderWritesTheLeafBytesWithoutADigest(t *testing.T) {
	_, raw := leafOf(t, Leaf{-1, 7}, 1, part{"a", [][]byte{block(t, 1, 2)}})
	var out bytes.Buffer
	h := NewLeafEncoder(&out, Leaf{-1, 7}, 1)
	if err := errors.Join(h.Series([]byte("a")), h.Block(block(t, 1, 2))); err != nil {
		t.Fatal(err)
	}
	if d, err := h.Sum(); err != nil || d != (LeafDigest{Points: 2, Bytes: uint64(len(raw))}) || !bytes.Equal(out.Bytes(), raw) {
		t.Fatalf("%+v, %v", d, err)
	}
}

func BenchmarkLeaf(b *testing.B) {
	data := block(b, 0, 4000)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		h := NewLeafHasher(Leaf{}, 1)
		_ = h.Series([]byte("a"))
		_ = h.Block(data)
		if _, err := h.Sum(); err != nil {
			b.Fatal(fmt.Sprint(err))
		}
	}
}
