package storage

import (
	"errors"
	"math/rand/v2"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// TestWalksEndOverDamagedKeys: whatever byte of a key or of what leads to it goes bad, a walk that skips from leaf to leaf, or
// from series to series, ends: it goes forward, or says that the file is damaged.
func TestWalksEndOverDamagedKeys(t *testing.T) {
	p := newPristine(t)
	random := rand.New(rand.NewPCG(21, 22))
	tooMany := errors.New("it goes round in circles")
	damaged := 0
	for i := range rounds(160) {
		class := []string{"block key", "branch key", "branch element", "leaf element"}[i%4]
		s := p.openCopy(t)
		offsets := p.classes[class]
		at := offsets[random.IntN(len(offsets))]
		flip := byte(1 + random.IntN(255))
		writeOver(t, s.o.Path, int64(at), []byte{p.bytes[at] ^ flip})
		steps := 0
		step := func() error {
			if steps++; steps > 20*len(p.want)*len(p.entries) {
				return tooMany
			}
			return nil
		}
		err := s.file.view("walk", func(tx *bolt.Tx) error {
			r := newReader(s.file, tx)
			err := r.leaves(func(digest.Leaf) error { return step() })
			for _, e := range p.entries {
				err = errors.Join(err, r.seriesOf(e.Leaf, nil, func([]byte, []part) error { return step() }))
			}
			return err
		})
		if errors.Is(err, tooMany) || err != nil && !errors.Is(err, ErrDamaged) {
			t.Errorf("%s, byte %d ^ %#x: after %d steps: %v", class, at, flip, steps, err)
		}
		if err != nil {
			damaged++
		}
		if err := s.Abandon(); err != nil && !errors.Is(err, ErrDamaged) {
			t.Error(err)
		}
	}
	t.Log(damaged, "walks met the damage")
}
