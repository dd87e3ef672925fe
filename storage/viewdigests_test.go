//go:build unix

package storage

import (
	"fmt"
	"slices"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// Leaves that have a digest in the file, one that waits for a flush, one that fails its checksum, or none, asked for in any
// order: the pass over all finds what the look-up of each does.
func TestPassOverDigestsFindsWhatLookUpsDo(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	put := func(device string, hours ...int) {
		var points []Point
		for _, h := range hours {
			points = append(points, point(device, int64(h)*int64(time.Hour), "v", 1))
		}
		apply(t, s, AppendPut(nil, points))
	}
	for d := range 40 {
		put(fmt.Sprint("d", d), 1, 50, 100, 150)
	}
	v := pinCut(t, s, "one")
	_, entries, err := v.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	put("d0", 50) // its digest goes, those of the others are written
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	bad := entries[3].Leaf
	err = s.file.update("spoil", func(tx *bolt.Tx) error {
		return tx.Bucket(bucketDigests).Put(appendLeaf(nil, bad), []byte("no digest"))
	})
	if err != nil {
		t.Fatal(err)
	}
	w := pinCut(t, s, "two")
	if d, err := w.Digest(t.Context(), entries[5].Leaf); err != nil {
		t.Fatal(err)
	} else {
		w.offer([]digest.Entry{{Leaf: entries[5].Leaf, LeafDigest: d}})
	}
	leaves, err := w.Leaves()
	if err != nil {
		t.Fatal(err)
	}
	leaves = append([]digest.Leaf{{Window: -9}}, append(leaves, digest.Leaf{Window: 1 << 40, Slot: 3})...)
	backwards := slices.Clone(leaves)
	slices.Reverse(backwards)
	sparse := []digest.Leaf{leaves[1], leaves[len(leaves)/2], leaves[len(leaves)/2], leaves[2], leaves[len(leaves)-2]}
	for _, list := range [][]digest.Leaf{leaves, backwards, sparse, nil} {
		digests, found, err := w.storedAll(t.Context(), list)
		if err != nil {
			t.Fatal(err)
		}
		some := 0
		for i, leaf := range list {
			want, ok, err := w.stored(leaf)
			if err != nil || ok != found[i] || ok && digests[i] != want {
				t.Fatalf("%v of %d leaves: %v %v, looked up %v %v, %v", leaf, len(list), found[i], digests[i], ok, want, err)
			}
			if ok {
				some++
			}
		}
		if len(list) > 5 && (some == 0 || some == len(list)) {
			t.Fatalf("%d of %d are stored: this tests nothing", some, len(list))
		}
	}
	if a, b := root2(t, w), rootAnew(t, w); a != b {
		t.Fatalf("stored digests give %s, blocks %s", a, b)
	}
	if missing, err := (Assembly{Base: w, Manifest: mustEntries(t, w)}).Missing(t.Context()); err != nil || len(missing) != 0 {
		t.Fatalf("%d leaves are missing from what has them, %v", len(missing), err)
	}
	other := mustEntries(t, w)
	slices.Reverse(other)
	other[1].Points++
	missing, err := (Assembly{Base: w, Manifest: other}).Missing(t.Context())
	if err != nil || len(missing) != 1 || missing[0] != other[1] {
		t.Fatalf("%v, %v", missing, err)
	}
}

func mustEntries(t *testing.T, v *View) []digest.Entry {
	t.Helper()
	_, entries, err := v.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// BenchmarkEqual compares a shard whose digests are all stored with its own manifest, as explore does.
func BenchmarkEqual(b *testing.B) {
	o := testOptions(b)
	o.Window = time.Hour
	s, err := OpenShard(o)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var points []Point
	for d := range 100 {
		for h := range 200 {
			points = append(points, point(fmt.Sprint("d", d), int64(h)*int64(time.Hour), "v", 1))
		}
	}
	s.Apply([]Entry{{Index: 1, Term: 1, Data: AppendPut(nil, points)}})
	view := func() *View {
		v, err := s.Look(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
	first := view()
	if _, _, err := first.Root(b.Context()); err != nil {
		b.Fatal(err)
	}
	_ = first.Close()
	s.Apply([]Entry{{Index: 2, Term: 1, Data: AppendPut(nil, []Point{point("d0", 1<<60, "v", 1)})}}) // a flush writes the digests
	v := view()
	defer v.Close()
	_, manifest, err := v.Root(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	b.Run("root", func(b *testing.B) {
		b.ReportAllocs()
		since := cpuTime()
		for b.Loop() {
			if _, _, err := v.Root(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64((cpuTime()-since).Nanoseconds())/float64(b.N*len(manifest)), "cpu-ns/leaf")
	})
	b.Run("missing", func(b *testing.B) {
		b.ReportAllocs()
		since := cpuTime()
		for b.Loop() {
			missing, err := (Assembly{Base: v, Manifest: manifest}).Missing(b.Context())
			if err != nil || len(missing) > 0 {
				b.Fatal(len(missing), err)
			}
		}
		b.ReportMetric(float64((cpuTime()-since).Nanoseconds())/float64(b.N*len(manifest)), "cpu-ns/leaf")
	})
}
