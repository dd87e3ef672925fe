package storage

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// TestWrittenFilesAreBboltsOwn: bbolt finds in a file what was put, nothing wrong with it, and goes on from there.
func TestWrittenFilesAreBboltsOwn(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for _, c := range []struct{ records, keyBytes, valueBytes int }{
		{0, 1, 0}, {1, 1, 0}, {1, 400, 100_000}, {2, 40, 36_000}, {3, 300, 36_000}, {31, 100, 60}, {500, 30, 9_000}, {4_000, 300, 20}, {20_000, 20, 4},
	} {
		t.Run(fmt.Sprintf("%d of %d and %d bytes", c.records, c.keyBytes, c.valueBytes), func(t *testing.T) {
			want := recordMap{}
			for range c.records {
				key := []byte(fmt.Sprintf("%x", random.Uint64()))
				want[string(append(key, make([]byte, random.IntN(c.keyBytes))...))] = make([]byte, random.IntN(c.valueBytes+1))
			}
			path := filepath.Join(t.TempDir(), "file")
			err := writeBolt(path, func(w *boltWriter) error {
				if err := w.bucket([]byte("a"), recordMap{"small": []byte("one")}.each); err != nil {
					return err
				}
				if err := w.bucket([]byte("b"), want.each); err != nil {
					return err
				}
				return w.bucket([]byte("c"), recordMap{}.each)
			})
			if err != nil {
				t.Fatal(err)
			}
			db, err := bolt.Open(path, 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			checkBolt(t, db, want)
			for i, key := range slices.Sorted(maps.Keys(want)) {
				if i%3 == 0 {
					delete(want, key)
				}
			}
			want["new"] = make([]byte, 9_000)
			err = db.Update(func(tx *bolt.Tx) error {
				b := tx.Bucket([]byte("b"))
				if err := b.Put([]byte("new"), want["new"]); err != nil {
					return err
				}
				return b.ForEach(func(k, _ []byte) error {
					if want[string(k)] == nil {
						return b.Delete(k)
					}
					return nil
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			checkBolt(t, db, want)
		})
	}
}

// checkBolt holds bucket b against what it should have, and the file against bbolt's own check.
func checkBolt(t *testing.T, db *bolt.DB, want recordMap) {
	t.Helper()
	err := db.View(func(tx *bolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt finds: %v", err)
		}
		n := 0
		err := tx.Bucket([]byte("b")).ForEach(func(k, v []byte) error {
			if n++; !bytes.Equal(v, want[string(k)]) || want[string(k)] == nil {
				t.Errorf("%x has %d bytes", k, len(v))
			}
			return nil
		})
		if n != len(want) || string(tx.Bucket([]byte("a")).Get([]byte("small"))) != "one" || tx.Bucket([]byte("c")) == nil {
			t.Errorf("%d records of %d, or another bucket is not what was written", n, len(want))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Keys out of order would make a file in which nobody finds them.
func TestRecordsOutOfOrderAreRefused(t *testing.T) {
	for _, keys := range [][]string{{"b", "a"}, {"a", "a"}, {""}} {
		err := writeBolt(filepath.Join(t.TempDir(), "file"), func(w *boltWriter) error {
			return w.bucket([]byte("a"), func(put func(key, value []byte) error) error {
				for _, k := range keys {
					if err := put([]byte(k), nil); err != nil {
						return err
					}
				}
				return nil
			})
		})
		if err == nil {
			t.Errorf("%q were taken", keys)
		}
	}
}
