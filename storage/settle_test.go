package storage

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// TestDeletedSeriesLeavesTheListAfterARepair: a device is deleted while a record beside its own cannot be read, or while the
// key of its own is another. What is read there may be its part, so it stays in the list; when the leaf was repaired, in
// place or by a delete of what was bad, the list is that of a replica that was never damaged, and so is the root.
func TestDeletedSeriesLeavesTheListAfterARepair(t *testing.T) {
	for name, spoil := range map[string]func(k, v []byte){
		"record beside it": nil,
		"its own key":      func(k, v []byte) { k[len(k)-partBytes-1] ^= 1 }, // the last letter of its name
	} {
		for _, how := range []string{"in place", "deleted"} {
			t.Run(name+", "+how, func(t *testing.T) { settles(t, spoil, how == "in place") })
		}
	}
}

func settles(t *testing.T, spoilKey func(k, v []byte), inPlace bool) {
	o, _ := damagedShard(t)
	ro, _ := damagedShard(t)
	s, right := mustOpen(t, o), mustOpen(t, ro)
	// The first two records of the file: the first goes bad beside the second, or the second's key does.
	var keys, values [][]byte
	err := s.file.view("find", func(tx *bolt.Tx) error {
		c := tx.Bucket(bucketBlocks).Cursor()
		for k, v := c.First(); len(keys) < 2; k, v = c.Next() {
			keys, values = append(keys, bytes.Clone(k)), append(values, bytes.Clone(v))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var leaves []digest.Leaf
	var series []Series
	for _, k := range keys {
		leaf, key, _, err := splitPart(k)
		if err != nil {
			t.Fatal(err)
		}
		one, err := ParseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		leaves, series = append(leaves, leaf), append(series, one)
	}
	leaf, beside, gone := leaves[0], series[0], series[1]
	if spoilKey == nil {
		flipBlock(t, s, beside, leaf.Window)
	} else {
		leaf = leaves[1]
		s.file.change(t, func(tx *bolt.Tx) error {
			if err := tx.Bucket(bucketBlocks).Delete(keys[1]); err != nil {
				return err
			}
			spoilKey(keys[1], values[1])
			return tx.Bucket(bucketBlocks).Put(keys[1], values[1])
		})
	}
	for _, one := range []*Shard{s, right} {
		apply(t, one, AppendDelete(nil, Delete{gone, MinTime, NoEnd}))
		if _, err := one.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	lists := func(one *Shard) bool {
		list, err := one.Series("", "")
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(list, gone)
	}
	if !lists(s) || lists(right) {
		t.Fatalf("listed before the repair: %v, where nothing was damaged: %v", lists(s), lists(right))
	}
	if inPlace {
		c := copyOf(t, pinCut(t, right, "cut"))
		stage := mustStage(t, stageOptions(t))
		c.fetch(t, stage, slices.DeleteFunc(slices.Clone(c.manifest), func(e digest.Entry) bool { return e.Leaf != leaf }))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := ApplyStage(o.Path, stage, testIdentity, c.state, c.manifest); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, o)
		s.Distrust(leaf)
	} else {
		all := AppendDelete(nil, Delete{beside, MinTime, NoEnd}) // and a device of the name that the key has now
		all = AppendDelete(all, Delete{otherKey(t, keys[1], gone), MinTime, NoEnd})
		for _, one := range []*Shard{s, right} {
			apply(t, one, all)
			if _, err := one.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Trust(leaf)
	waitFor(t, func() bool { return !lists(s) })
	want, err := right.Series("", "")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Series("", ""); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v is listed, not %v", got, err, want)
	}
	if rootOf(t, s, "after") != rootOf(t, right, "after") {
		t.Error("the roots differ")
	}
	if err := s.Check(t.Context()); err != nil && !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

// otherKey is the series of a part's key.
func otherKey(t *testing.T, k []byte, or Series) Series {
	t.Helper()
	_, key, _, err := splitPart(k)
	if err != nil {
		return or
	}
	s, err := ParseKey(key)
	if err != nil {
		return or
	}
	return s
}
