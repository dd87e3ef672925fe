package storage

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/digest"
)

func stageOptions(t testing.TB) StageOptions {
	t.Helper()
	return StageOptions{Path: filepath.Join(t.TempDir(), "stage.db"), Identity: testIdentity, Window: testWindow, InitialMmapSize: 64 << 20}
}

func mustStage(t testing.TB, o StageOptions) *Stage {
	t.Helper()
	s, err := OpenStage(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// cutCopy is all that a leader gives of a cut.
type cutCopy struct {
	view     *View
	root     digest.ID
	manifest []digest.Entry
	state    []byte
}

func copyOf(t testing.TB, v *View) cutCopy {
	t.Helper()
	c := cutCopy{view: v}
	var err error
	if c.root, c.manifest, err = v.Root(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c.state, err = v.State(); err != nil {
		t.Fatal(err)
	}
	return c
}

// leaf are the bytes of a leaf of the cut.
func (c cutCopy) leaf(t testing.TB, leaf digest.Leaf) []byte {
	t.Helper()
	b, err := c.view.LeafBytes(t.Context(), leaf)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fetch puts leaves of the cut into a stage.
func (c cutCopy) fetch(t testing.TB, s *Stage, leaves []digest.Entry) {
	t.Helper()
	for _, e := range leaves {
		if err := s.Put(c.leaf(t, e.Leaf), e); err != nil {
			t.Fatal(err)
		}
	}
}

// prove makes sure that the assembly gives the sum of the cut's view, and no other.
func (c cutCopy) prove(t testing.TB, a Assembly) {
	t.Helper()
	want, err := c.view.Prove(t.Context(), []byte("nonce"))
	if err != nil {
		t.Fatal(err)
	}
	if known := digest.Proof([]byte("nonce"), c.manifest); known == want && len(c.manifest) > 0 {
		t.Fatal("the proof can be given without reading the leaves")
	}
	got, err := a.Prove(t.Context(), []byte("nonce"))
	if err != nil || got != want {
		t.Fatalf("proof %v, %v, want %v", got, err, want)
	}
	if other, err := a.Prove(t.Context(), []byte("other")); err != nil || other == want {
		t.Fatalf("proof under another key: %v, %v", other, err)
	}
}

// checkInstalled makes sure that a shard file, opened, is at the cut in every way.
func checkInstalled(t testing.TB, s *Shard, c cutCopy) {
	t.Helper()
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err := s.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for _, e := range c.manifest {
		if d, ok, err := v.stored(e.Leaf); err != nil || !ok || d != e.LeafDigest {
			t.Fatalf("stored digest of %v: %v %v %v", e.Leaf, d, ok, err)
		}
	}
	if root, entries, err := v.ReadRoot(t.Context()); err != nil || root != c.root || !slices.Equal(entries, c.manifest) {
		t.Fatalf("root %v, %v, want %v", root, err, c.root)
	}
	if state, err := v.State(); err != nil || string(state) != string(c.state) {
		t.Fatalf("state %x, %v, want %x", state, err, c.state)
	}
	exactTotals(t, s)
}

// exactTotals makes sure that what the file says of itself is what is in it.
func exactTotals(t testing.TB, s *Shard) {
	t.Helper()
	var has, want totals
	series, indexed := map[string]bool{}, map[string]bool{}
	err := s.file.view("count", func(tx *bolt.Tx) (err error) {
		if has, err = getTotals(tx.Bucket(bucketMeta)); err != nil {
			return err
		}
		r := newReader(s.file, tx)
		err = tx.Bucket(bucketBlocks).ForEach(func(k, v []byte) error {
			p, err := r.part(k, v)
			_, key, _, _ := splitPart(k)
			series[string(key)] = true
			want.rows += uint64(p.header.Rows)
			want.blockBytes += uint64(len(p.block))
			want.parts++
			return err
		})
		if err != nil {
			return err
		}
		return tx.Bucket(bucketSeries).ForEach(func(k, v []byte) error {
			indexed[string(k)] = true
			return nil
		})
	})
	want.series = uint64(len(series))
	if err != nil || has != want || !maps.Equal(series, indexed) {
		t.Fatalf("%v: the file says %+v, and has %+v; index %v, series %v", err, has, want, indexed, series)
	}
}
