package storage

import (
	"errors"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// TestListOfFreePagesIsLookedAt: a byte of the list of free pages goes bad under an open file. A commit would free pages that
// are in use, or go round for minutes, where the head says that the list is longer; a transaction that is rolled back takes
// the list from there. Neither goes by unseen, whatever the byte is; and what is unharmed is no damage.
func TestListOfFreePagesIsLookedAt(t *testing.T) {
	p := newPristine(t)
	list := append(p.classes["freelist head"], p.classes["freelist id"]...)
	if len(list) < pageHeadBytes+8 {
		t.Fatalf("%d bytes", len(list))
	}
	errBack := errors.New("back")
	change := func(s *Shard, back error) error {
		return s.file.update("change", func(tx *bolt.Tx) error {
			if err := s.file.bucket(tx, bucketDigests).Put(seal([]byte("a key"), nil), []byte{1}); err != nil {
				return err
			}
			return back
		})
	}
	for i, at := range list {
		if i >= pageHeadBytes+16 && i%8 != 0 {
			continue // there are many ids
		}
		for name, back := range map[string]error{"commit": nil, "rollback": errBack} {
			s := p.openCopy(t)
			s.file.onDamaged = nil
			for range 3 { // the list moves, and is known
				if err := change(s, errBack); !errors.Is(err, errBack) || errors.Is(err, ErrDamaged) {
					t.Fatalf("rolled back unharmed: %v", err)
				}
			}
			writeOver(t, s.o.Path, int64(at), []byte{p.bytes[at] ^ 0xc1})
			if err := change(s, back); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s, byte %d: %v", name, at, err)
			}
			_ = s.Abandon()
		}
	}
	s := p.openCopy(t)
	for range 20 {
		if err := errors.Join(change(s, nil)); err != nil {
			t.Fatal(err)
		}
		if err := change(s, errBack); errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
	}
}
