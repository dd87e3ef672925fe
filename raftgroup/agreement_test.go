package raftgroup

import (
	"errors"
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/digest"
)

func agreementOf(n int) Agreement {
	a := Agreement{Lineage: "6f1c8a3e-0000-4000-8000-000000000007", Index: 77}
	for i := range n {
		a.Entries = append(a.Entries, digest.Entry{Leaf: digest.Leaf{Window: int64(i - 2), Slot: uint8(i % 16)},
			LeafDigest: digest.LeafDigest{ID: digest.ID{byte(i), 1}, Points: uint64(i), Bytes: uint64(10 * i)}})
	}
	return a
}

// An agreement comes back as it was, or not at all: whatever byte of it is another, however short it is.
func TestAgreementIsWholeOrNone(t *testing.T) {
	for _, n := range []int{0, 1, 5} {
		want := agreementOf(n)
		b := want.encode()
		got, err := decodeAgreement(b)
		if err != nil || got.Index != want.Index || got.Lineage != want.Lineage || len(got.Entries) != n ||
			n > 0 && !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v instead of %+v, %v", got, want, err)
		}
		for i := range b {
			if _, err := decodeAgreement(b[:i]); err == nil {
				t.Errorf("%d of %d bytes are an agreement", i, len(b))
			}
			b[i] ^= 4
			if _, err := decodeAgreement(b); err == nil {
				t.Errorf("with byte %d changed it is an agreement", i)
			}
			b[i] ^= 4
		}
	}
}

func FuzzAgreement(f *testing.F) {
	a := agreementOf(3)
	f.Add(a.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeAgreement(b)
		if err == nil && string(a.encode()) != string(b) {
			t.Errorf("%x comes back as %x", b, a.encode())
		}
	})
}

// What was agreed upon outlives a restart; the log is read as it was written.
func TestAgreementAndLogAreReadBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCluster(t, 1, nil)
		c.bear(1, 7)
		g := c.leader(7)
		if _, found, err := g.Agreement(); found || err != nil {
			t.Fatalf("an agreement before any: %v", err)
		}
		var written [][]byte
		for i := range int64(5) {
			frame := putFrame("a", i, i)
			written = append(written, frame)
			if _, err := g.Propose(t.Context(), frame); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Agree(agreementOf(4)); err != nil {
			t.Fatal(err)
		}
		c.stop(c.nodes[0], false)
		c.start(c.nodes[0])
		g = c.leader(7)
		if a, found, err := g.Agreement(); err != nil || !found || !reflect.DeepEqual(a, agreementOf(4)) {
			t.Errorf("%+v, %v, %v", a, found, err)
		}
		c.logIs(t, g, written)
	})
}

// logIs reads a log whole, and what it does not hold.
func (c *testCluster) logIs(t *testing.T, g *Group, written [][]byte) {
	t.Helper()
	through, at, last := g.Shard().Applied().Index, uint64(0), uint64(0)
	err := g.ReadLog(t.Context(), 1, through, func(e storage.Entry) error {
		if e.Index <= at {
			t.Errorf("entry %d follows %d", e.Index, at)
		}
		if at = e.Index; len(written) > 0 && string(e.Data) == string(written[0]) {
			written, last = written[1:], e.Index
		}
		return nil
	})
	if err != nil || len(written) > 0 {
		t.Errorf("%d entries are not there, %v", len(written), err)
	}
	single := 0
	if err := g.ReadLog(t.Context(), last, last, func(e storage.Entry) error { single++; return nil }); err != nil || single != 1 {
		t.Errorf("entry %d: read %d times, %v", last, single, err)
	}
	if err := g.ReadLog(t.Context(), through, through+1, func(storage.Entry) error { return nil }); !errors.Is(err, ErrTrimmed) {
		t.Errorf("beyond what is applied: %v", err)
	}
	if err := g.Trim(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, err := g.LogBegins()
	if err != nil || first == 1 {
		t.Fatalf("the log begins at %d, %v", first, err)
	}
	if err := g.ReadLog(t.Context(), 1, through, func(storage.Entry) error { return nil }); !errors.Is(err, ErrTrimmed) {
		t.Errorf("of a trimmed log: %v", err)
	}
}
