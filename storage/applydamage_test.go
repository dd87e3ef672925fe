package storage

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// TestApplyStageOverDamagedLeaves: a leaf of the manifest whose bytes have rotted under a digest that is right is replaced
// from the stage, at the very state that the file has; damaged values, checksums and keys alike. Nothing of it is left, and
// no other leaf changes. A tree that is out of order is refused.
func TestApplyStageOverDamagedLeaves(t *testing.T) {
	_, c := leaderCut(t)
	series := Series{"db", "c", "device-5"}
	prefix := append(appendLeaf(nil, digest.Leaf{Slot: SlotOf(series.Key())}), series.Key()...)
	leaf := digest.Leaf{Slot: SlotOf(series.Key())}
	for name, spoil := range map[string]func(b []byte, k int, v int, n int){
		"value":       func(b []byte, k, v, n int) { b[v+n/2] ^= 4 },
		"all of it":   func(b []byte, k, v, n int) { copy(b[v:v+n], bytes.Repeat([]byte{0xa5}, n)) },
		"checksum":    func(b []byte, k, v, n int) { b[v+n-1] ^= 128 },
		"part number": func(b []byte, k, v, n int) { b[v-1] ^= 2 },
	} {
		t.Run(name, func(t *testing.T) {
			// A whole copy of the cut.
			full := mustStage(t, stageOptions(t))
			c.fetch(t, full, c.manifest)
			if err := full.Seal(testIdentity, c.state, c.manifest); err != nil {
				t.Fatal(err)
			}
			o := testOptions(t)
			o.Path = full.o.Path
			if err := full.Close(); err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(o.Path)
			if err != nil {
				t.Fatal(err)
			}
			k, v, n := recordAt(t, o.Path, b, prefix)
			spoil(b, k, v, n)
			if err := os.WriteFile(o.Path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			stage := mustStage(t, stageOptions(t))
			c.fetch(t, stage, slices.DeleteFunc(slices.Clone(c.manifest), func(e digest.Entry) bool { return e.Leaf != leaf }))
			if err := ApplyStage(o.Path, stage, testIdentity, c.state, c.manifest); err != nil {
				t.Fatal(err)
			}
			s := mustOpen(t, o)
			checkInstalled(t, s, c)
			if r := inspect(t, s); r.Structure != nil || len(r.Bad) > 0 || !slices.Equal(r.Entries, c.manifest) {
				t.Fatalf("after the repair: %+v", r)
			}
		})
	}
}

// recordAt is where the first record with a prefix lies in a file: its key, its value and how long that is.
func recordAt(t *testing.T, path string, b, prefix []byte) (k, v, n int) {
	t.Helper()
	f, err := openFile(path, 4<<20, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	var key, value []byte
	err = errors.Join(f.view("find", func(tx *bolt.Tx) error {
		a, z := tx.Bucket(bucketBlocks).Cursor().Seek(prefix)
		key, value = bytes.Clone(a), bytes.Clone(z)
		return nil
	}), f.close())
	if err != nil {
		t.Fatal(err)
	}
	k = bytes.Index(b, append(bytes.Clone(key), value...))
	if k < 0 || !bytes.HasPrefix(key, prefix) {
		t.Fatalf("no record %x", prefix)
	}
	return k, k + len(key), len(value)
}
