package storage

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// otherBlock puts another block in the place of one, with a checksum that is right: as a page of an older state would be.
// The stored digest of the leaf stays.
func otherBlock(t *testing.T, f *file, series Series, window int64) {
	t.Helper()
	f.change(t, func(tx *bolt.Tx) error {
		r := newReader(f, tx)
		k, v := r.cursor.Seek(r.partPrefix(window, SlotOf(series.Key()), series.Key()))
		var c blocks.Columns
		if err := blocks.Decode(v[:len(v)-crcBytes], &c); err != nil {
			return err
		}
		c.Cols[0].Nums[0]++
		b, err := blocks.Encode(nil, &c)
		if err != nil {
			return err
		}
		k = bytes.Clone(k)
		return tx.Bucket(bucketBlocks).Put(k, seal(k, b))
	})
}

// TestStoredDigestIsNoProofOfTheBytes: blocks that pass their checksums and are not those that the digest was made of. Only
// reading tells; and who distrusts the leaf goes by what is read from then on.
func TestStoredDigestIsNoProofOfTheBytes(t *testing.T) {
	p := newPristine(t)
	s := p.openCopy(t)
	series := Series{"db", "c", "device-33"}
	leaf := digest.Leaf{Window: 2, Slot: SlotOf(series.Key())}
	i := slices.IndexFunc(p.entries, func(e digest.Entry) bool { return e.Leaf == leaf })
	otherBlock(t, s.file, series, leaf.Window)
	v := look(t, s)

	read, err := v.Digest(t.Context(), leaf)
	if err != nil || read == p.entries[i].LeafDigest {
		t.Fatalf("nothing was changed: %v", err)
	}
	r := inspect(t, s)
	if len(r.Bad) != 1 || r.Bad[0].Leaf != leaf || !errors.Is(r.Bad[0].Cause, ErrRecord) || r.Bad[0].Stored != p.entries[i].LeafDigest ||
		r.Bad[0].Read != read || r.Structure != nil || len(r.Digests) > 0 {
		t.Errorf("an inspection found %+v", r)
	}
	if e := r.Entries[i]; e.Leaf != leaf || e.LeafDigest != read {
		t.Errorf("an inspection says %v, the bytes are %v", e, read)
	}
	if len(s.Distrusted()) > 0 {
		t.Errorf("others have to say whether %v is wrong", s.Distrusted())
	}

	said := func(reread bool) digest.LeafDigest {
		t.Helper()
		list, err := v.States(t.Context(), reread, []digest.Leaf{leaf})
		if err != nil || len(list) != 1 || list[0].Err != nil {
			t.Fatal(list, err)
		}
		return list[0].LeafDigest
	}
	root := func(of func() (digest.ID, []digest.Entry, error)) digest.ID {
		t.Helper()
		id, _, err := of()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	byRecords := func() (digest.ID, []digest.Entry, error) { return v.Root(t.Context()) }
	wrong := slices.Clone(p.entries)
	wrong[i].LeafDigest = read
	if said(true) != read {
		t.Error("what is read is not what is said of it")
	}
	if said(false) != p.entries[i].LeafDigest || root(byRecords) != digest.Root(p.entries) {
		t.Error("the record was not gone by: the test shows nothing")
	}
	s.Distrust(leaf)
	if said(false) != read || root(byRecords) != digest.Root(wrong) {
		t.Error("the record of a leaf that is not trusted was gone by")
	}
	if has, err := v.hasAll(t.Context(), p.entries); err != nil || has[i] || slices.Index(has, false) != i {
		t.Errorf("a base that has it all: %v, %v", has, err)
	}

	s = p.openCopy(t) // what was computed is known from then on: another one
	otherBlock(t, s.file, series, leaf.Window)
	v = look(t, s)
	if got := root(func() (digest.ID, []digest.Entry, error) { return v.ReadRoot(t.Context()) }); got != digest.Root(wrong) {
		t.Error("a root of what is read is not that")
	}
}

// TestStagedLeafThatIsAnotherIsNotTakenOver: what goes into a shard in place is held against its content id once more, whatever
// was proven, and whatever its checksums and the stage's own digests say.
func TestStagedLeafThatIsAnotherIsNotTakenOver(t *testing.T) {
	_, c := leaderCut(t)
	s := target(t)
	a := delta(t, s, c)
	c.prove(t, a)
	list, err := a.Stage.Leaves()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(e digest.Entry) bool { return e.Slot == SlotOf(Series{"db", "c", "device-4"}.Key()) })
	otherBlock(t, a.Stage.file, Series{"db", "c", "device-4"}, list[i].Window)
	if err := errors.Join(a.Base.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := ApplyStage(s.o.Path, a.Stage, testIdentity, c.state, c.manifest); !errors.Is(err, ErrWrongContent) {
		t.Errorf("taken over: %v", err)
	}
	s = mustOpen(t, s.o)
	if _, entries, err := look(t, s).ReadRoot(t.Context()); err != nil || slices.Equal(entries, c.manifest) || s.Applied().Index != 14 {
		t.Errorf("the shard was changed: %v, applied %v", err, s.Applied())
	}
}

// TestLeafTooManyGoesFromAShardAtTheCut: a replica that has diverged stands where the cut is, has every leaf of the manifest, and
// one that nobody else has. Nothing is staged for it; what is to be done is to remove that.
func TestLeafTooManyGoesFromAShardAtTheCut(t *testing.T) {
	_, c := leaderCut(t)
	full := mustStage(t, stageOptions(t))
	c.fetch(t, full, c.manifest)
	s := install(t, full, c)
	at := s.Applied()
	s.mu.Lock()
	err := s.commands(&Entry{Index: at.Index, Term: at.Term, Data: AppendPut(nil, []Point{point("too-many", 300e9, "v", 1)})})
	if err == nil {
		err = s.flushActive(t.Context())
	}
	s.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	if leaves, err := look(t, s).Leaves(); err != nil || len(leaves) != len(c.manifest)+1 {
		t.Fatalf("%d leaves, %v", len(leaves), err)
	}
	a := Assembly{Stage: mustStage(t, stageOptions(t)), Base: look(t, s), Manifest: c.manifest}
	if missing, err := a.Missing(t.Context()); err != nil || len(missing) > 0 {
		t.Fatalf("missing: %v, %v", missing, err)
	}
	c.prove(t, a) // it has all that it should have
	checkInstalled(t, applyInPlace(t, s, a, c), c)
}
