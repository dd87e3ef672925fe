package storage

import (
	"testing"

	bolt "go.etcd.io/bbolt"
)

// change commits something behind the shard's back, as if it had done so itself.
func (f *file) change(t testing.TB, fn func(tx *bolt.Tx) error) {
	t.Helper()
	txid := 0
	err := f.db.Update(func(tx *bolt.Tx) error {
		txid = tx.ID()
		if err := f.guides(tx); err != nil { // a commit may have come just now
			return err
		}
		return fn(tx)
	})
	if err == nil {
		err = f.committed(uint64(txid))
	}
	if err != nil {
		t.Fatal(err)
	}
}
