package storage

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// target is a replica that has most of the leader's cut, of another lineage, and a few things of its own.
func target(t testing.TB) *Shard {
	t.Helper()
	o := testOptions(t)
	o.Identity.Lineage = "old"
	s := mustOpen(t, o)
	for round := range 12 {
		apply(t, s, AppendPut(nil, leaderPoints(round)))
	}
	apply(t, s, AppendPut(nil, []Point{point("device-1", -23e9, "v", 77.5), point("vanishes", 3e9, "v", 1), point("orphan", 300e9, "v", 1)}))
	apply(t, s, AppendDelete(nil, Delete{Series{"db", "c", "device-4"}, MinTime, NoEnd}))
	return s
}

func look(t testing.TB, s *Shard) *View {
	t.Helper()
	v, err := s.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// delta stages what the target lacks of the cut.
func delta(t testing.TB, s *Shard, c cutCopy) Assembly {
	t.Helper()
	a := Assembly{Stage: mustStage(t, stageOptions(t)), Base: look(t, s), Manifest: c.manifest}
	missing, err := a.Missing(t.Context())
	if err != nil || len(missing) == 0 || len(missing) > len(c.manifest)/2 {
		t.Fatalf("%d of %d leaves are missing, %v", len(missing), len(c.manifest), err)
	}
	c.fetch(t, a.Stage, missing)
	return a
}

// applyInPlace closes the shard, applies the stage, and opens it again in the new lineage.
func applyInPlace(t testing.TB, s *Shard, a Assembly, c cutCopy) *Shard {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ApplyStage(s.o.Path, a.Stage, testIdentity, c.state, c.manifest); err != nil {
		t.Fatal(err)
	}
	o := s.o
	o.Identity = testIdentity
	return mustOpen(t, o)
}

func TestDeltaInPlaceMovesOnlyWhatDiffers(t *testing.T) {
	_, c := leaderCut(t)
	s := target(t)
	a := delta(t, s, c)
	c.prove(t, a)
	checkInstalled(t, applyInPlace(t, s, a, c), c)
}

func TestDeltaBuiltAnew(t *testing.T) {
	_, c := leaderCut(t)
	s := target(t)
	a := delta(t, s, c)
	if failed, err := a.Stage.CopyFrom(t.Context(), a.Base, c.manifest); err != nil || failed != nil {
		t.Fatal(failed, err)
	}
	c.prove(t, a)
	checkInstalled(t, install(t, a.Stage, c), c)
}

// TestWriteDuringCopyWinsOverCopiedLeaf: what was written after the cut comes from the log, onto the copied leaves, and
// wins over them; on the target as on the leader.
func TestWriteDuringCopyWinsOverCopiedLeaf(t *testing.T) {
	leader, c := leaderCut(t)
	s := target(t)
	a := delta(t, s, c)
	var later []Entry
	write := func(data []byte) {
		later = append(later, Entry{Index: leader.Applied().Index + 1, Term: 1, Data: data})
		apply(t, leader, data)
	}
	write(AppendPut(nil, []Point{point("device-3", -24e9, "v", 4242), point("device-3", -24e9+1, "w", "during the copy")}))
	write(AppendDelete(nil, Delete{Series{"db", "c", "device-7"}, MinTime, 0}))
	write(AppendPut(nil, []Point{point("device-4", -24e9, "n", "a text now")}))
	write(AppendCut(nil, Cut{ID: "after", TTL: time.Hour}))
	c.prove(t, a)
	s = applyInPlace(t, s, a, c)
	checkInstalled(t, s, c)
	for _, err := range s.Apply(later) {
		if err != nil {
			t.Fatal(err)
		}
	}
	got := readAll(t, s, false)
	if v := got[Series{"db", "c", "device-3"}][-24e9]["v"]; v != blocks.Int(4242) {
		t.Fatalf("the copied leaf won: %v", v)
	}
	compare(t, "after the copy", got, readAll(t, leader, false))
	compare(t, "on the leader", readAll(t, leader, false), got)
	want, here := copyOf(t, awaitView(t, leader, "after")), copyOf(t, awaitView(t, s, "after"))
	if want.root != here.root {
		t.Fatalf("root %v, want %v", here.root, want.root)
	}
}

func awaitView(t testing.TB, s *Shard, id string) *View {
	t.Helper()
	v, err := s.AwaitView(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestDamagedBaseIsNoBase: the digest that is stored for a leaf is right, its bytes are not. The proof finds it, the leaf
// counts as missing, and once it was fetched the copy is right.
func TestDamagedBaseIsNoBase(t *testing.T) {
	_, c := leaderCut(t)
	s := target(t)
	keepDigests(t, s)
	v := look(t, s)
	bad := Series{"db", "c", "device-9"}
	flipBlock(t, s, bad, -1)
	_ = v.Close()
	a := delta(t, s, c)
	leaf := digest.Leaf{Window: -1, Slot: SlotOf(bad.Key())}
	if _, err := a.Prove(t.Context(), []byte("k")); !errors.Is(err, ErrDamaged) {
		t.Fatalf("proof over a bad block: %v", err)
	}
	found, err := a.Damaged(t.Context())
	if err != nil || !slices.Equal(found, []digest.Leaf{leaf}) {
		t.Fatalf("damaged: %v, %v, want %v", found, err, leaf)
	}
	missing, err := a.Missing(t.Context())
	if err != nil || len(missing) != 1 || missing[0].Leaf != leaf {
		t.Fatalf("missing: %v, %v", missing, err)
	}
	if failed, err := a.Stage.CopyFrom(t.Context(), a.Base, c.manifest); err != nil || !slices.Equal(failed, missing) {
		t.Fatalf("copied from a bad base: %v, %v", failed, err)
	}
	c.fetch(t, a.Stage, missing)
	c.prove(t, a)
	checkInstalled(t, applyInPlace(t, s, a, c), c)
}

// keepDigests brings the digests of all leaves into the file.
func keepDigests(t testing.TB, s *Shard) {
	t.Helper()
	v := look(t, s)
	if _, _, err := v.Root(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply(t, s, AppendNoop(nil))
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = v.Close()
}

// TestBadLeafWithoutADigestIsMissing: nobody has computed the digest of the bad leaf yet: it is missing at once.
func TestBadLeafWithoutADigestIsMissing(t *testing.T) {
	_, c := leaderCut(t)
	s := target(t)
	bad := Series{"db", "c", "device-9"}
	_ = look(t, s).Close() // flushed
	flipBlock(t, s, bad, -1)
	missing, err := Assembly{Base: look(t, s), Manifest: c.manifest}.Missing(t.Context())
	leaf := digest.Leaf{Window: -1, Slot: SlotOf(bad.Key())}
	if err != nil || !slices.ContainsFunc(missing, func(e digest.Entry) bool { return e.Leaf == leaf }) {
		t.Fatalf("%v, %v", missing, err)
	}
}

// TestLieOnTheTargetsDiskIsProven: bytes of the stage change between Put and proof, with every checksum of the file made
// right: only the keyed sum over the bytes finds it.
func TestLieOnTheTargetsDiskIsProven(t *testing.T) {
	_, c := leaderCut(t)
	a := Assembly{Stage: mustStage(t, stageOptions(t)), Manifest: c.manifest}
	c.fetch(t, a.Stage, c.manifest)
	if err := a.Stage.Commit(); err != nil {
		t.Fatal(err)
	}
	key := Series{"db", "c", "device-5"}.Key()
	leaf := digest.Leaf{Window: 0, Slot: SlotOf(key)}
	a.Stage.file.change(t, func(tx *bolt.Tx) error {
		var b blocks.Builder
		b.Append(1, []Field{{Name: "v", Value: blocks.Float(666)}})
		block, err := blocks.Encode(nil, b.Columns())
		if err != nil {
			return err
		}
		k := partKey(string(appendLeaf(nil, leaf))+string(key), 0)
		return tx.Bucket(bucketBlocks).Put(k, seal(k, block))
	})
	want, err := c.view.Prove(t.Context(), []byte("k"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := a.Prove(t.Context(), []byte("k")); err != nil || got == want {
		t.Fatalf("the lie is believed: %v, %v", got, err)
	}
	bad, err := a.Damaged(t.Context())
	if err != nil || !slices.Equal(bad, []digest.Leaf{leaf}) {
		t.Fatalf("damaged: %v, %v", bad, err)
	}
	if err := a.Stage.Drop(bad...); err != nil {
		t.Fatal(err)
	}
	missing, err := a.Missing(t.Context())
	if err != nil || len(missing) != 1 {
		t.Fatalf("missing: %v, %v", missing, err)
	}
	c.fetch(t, a.Stage, missing)
	c.prove(t, a)
	checkInstalled(t, install(t, a.Stage, c), c)
}

// TestBitFlipInTheStagesFileIsProven: the file is written, a bit of a block flips on disk.
func TestBitFlipInTheStagesFileIsProven(t *testing.T) {
	_, c := leaderCut(t)
	o := stageOptions(t)
	a := Assembly{Stage: mustStage(t, o), Manifest: c.manifest}
	c.fetch(t, a.Stage, c.manifest)
	if err := a.Stage.Commit(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(o.Path)
	if err != nil {
		t.Fatal(err)
	}
	var block []byte
	err = a.Stage.file.view("find", func(tx *bolt.Tx) error {
		_, v := tx.Bucket(bucketBlocks).Cursor().Seek(appendLeaf(nil, c.manifest[7].Leaf))
		block = slices.Clone(v)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(raw), string(block))
	f, err := os.OpenFile(o.Path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte{block[9] ^ 8}, int64(at)+9); err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	if _, err := a.Prove(t.Context(), []byte("k")); !errors.Is(err, ErrDamaged) {
		t.Fatalf("proof: %v", err)
	}
	if bad, err := a.Damaged(t.Context()); err != nil || !slices.Equal(bad, []digest.Leaf{c.manifest[7].Leaf}) {
		t.Fatalf("damaged: %v, %v", bad, err)
	}
	if err := a.Stage.Drop(c.manifest[7].Leaf); err != nil {
		t.Fatal(err)
	}
	c.fetch(t, a.Stage, c.manifest[7:8])
	c.prove(t, a)
	checkInstalled(t, install(t, a.Stage, c), c)
}

func TestApplyInPlaceRefuses(t *testing.T) {
	_, c := leaderCut(t)
	s := target(t)
	a := delta(t, s, c)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(s.o.Path)
	if err != nil {
		t.Fatal(err)
	}
	apply := func(path string, id Identity, manifest []digest.Entry) error {
		return ApplyStage(path, a.Stage, id, c.state, manifest)
	}
	more := append(slices.Clone(c.manifest), digest.Entry{Leaf: digest.Leaf{Window: 99}, LeafDigest: c.manifest[0].LeafDigest})
	other := slices.Clone(c.manifest)
	for i := range other {
		if !a.Stage.has(other[i]) {
			other[i].ID[0]++
		}
	}
	for what, got := range map[string]struct{ err, want error }{
		"no shard":                     {apply(filepath.Join(t.TempDir(), "none"), testIdentity, c.manifest), os.ErrNotExist},
		"another group":                {apply(s.o.Path, Identity{"c", 8, "l"}, c.manifest), ErrIdentity},
		"a leaf nobody has":            {apply(s.o.Path, testIdentity, more), ErrIncomplete},
		"a leaf with other content":    {apply(s.o.Path, testIdentity, other), ErrIncomplete},
		"state of nothing":             {ApplyStage(s.o.Path, a.Stage, testIdentity, nil, c.manifest), ErrState},
		"a stage in the shard's stead": {ApplyStage(a.Stage.o.Path, mustStage(t, stageOptions(t)), testIdentity, c.state, nil), nil},
	} {
		if got.err == nil || got.want != nil && !errors.Is(got.err, got.want) {
			t.Errorf("%s: %v", what, got.err)
		}
	}
	if after, err := os.ReadFile(s.o.Path); err != nil || string(after) != string(before) {
		t.Fatalf("the shard was changed, %v", err)
	}
}

func TestApplyInPlaceIsBounded(t *testing.T) {
	leader, _ := leaderCut(t)
	for i := range MaxInPlaceBytes/(120<<10) + 1 {
		apply(t, leader, AppendPut(nil, []Point{point("big", int64(i)*1e9, "s", fmt.Sprint(i, strings.Repeat("x", 60<<10)), "t", fmt.Sprint(i, strings.Repeat("y", 60<<10)))}))
	}
	c := copyOf(t, pinCut(t, leader, "big"))
	s := target(t)
	a := Assembly{Stage: mustStage(t, stageOptions(t)), Base: look(t, s), Manifest: c.manifest}
	missing, err := a.Missing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.fetch(t, a.Stage, missing) // beyond what waits for one commit, too
	if a.Stage.Bytes() < MaxInPlaceBytes {
		t.Fatalf("%d bytes are too few to try", a.Stage.Bytes())
	}
	if failed, err := a.Stage.CopyFrom(t.Context(), a.Base, c.manifest); err != nil || failed != nil {
		t.Fatal(failed, err)
	}
	c.prove(t, a)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ApplyStage(s.o.Path, a.Stage, testIdentity, c.state, c.manifest); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	checkInstalled(t, install(t, a.Stage, c), c)
}

// TestLookEndsWithTheShardAndWithTooManyBytes: a base or a pinned record does not keep a shard from closing, nor the file
// from being bounded.
func TestLookEndsWithTheShardAndWithTooManyBytes(t *testing.T) {
	o := testOptions(t)
	o.MaxViewBytes = 2000
	s := mustOpen(t, o)
	v := look(t, s)
	if _, err := v.Leaves(); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		apply(t, s, AppendPut(nil, []Point{point(fmt.Sprint(i), 1, "v", 1)}))
	}
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Leaves(); !errors.Is(err, ErrNotPinned) {
		t.Fatalf("after too many bytes: %v", err)
	}
	v = look(t, s)
	if err := s.Close(); err != nil { // does not wait for the view
		t.Fatal(err)
	}
	if _, err := v.Leaves(); !errors.Is(err, ErrNotPinned) {
		t.Fatalf("after Close: %v", err)
	}
	if _, err := s.Look(t.Context()); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
}

// TestDigestsOfALookAreKept: comparing a held shard with a manifest computes each digest once, and they are in the file
// when it is worked on in place.
func TestDigestsOfALookAreKept(t *testing.T) {
	_, c := leaderCut(t)
	s := target(t)
	if _, err := (Assembly{Base: look(t, s), Manifest: c.manifest}).Missing(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := look(t, s)
	for _, e := range c.manifest {
		if _, ok, err := v.stored(e.Leaf); err != nil || !ok && e.Leaf.Slot != SlotOf(Series{"db", "c", "device-4"}.Key()) {
			t.Fatalf("%v: %v", e.Leaf, err)
		}
	}
	apply(t, s, AppendPut(nil, []Point{point("device-1", -23e9, "v", 78.5)}))
	old := v
	v = look(t, s)
	leaf := digest.Leaf{Window: -3, Slot: SlotOf(Series{"db", "c", "device-1"}.Key())}
	if _, ok, _ := v.stored(leaf); ok {
		t.Fatal("the digest of a leaf that was written is still there")
	}
	old.offer([]digest.Entry{{Leaf: leaf, LeafDigest: c.manifest[0].LeafDigest}})
	if _, ok, _ := v.stored(leaf); ok {
		t.Fatal("a view of the past has changed what holds now")
	}
}
