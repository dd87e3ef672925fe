package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
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
		s, what := p.openFlipped(t, class, random, byte(1+random.IntN(255)))
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
			t.Errorf("%s: after %d steps: %v", what, steps, err)
		}
		if err != nil {
			damaged++
		}
		abandon(t, s)
	}
	t.Log(damaged, "walks met the damage")
}

// TestFileWithoutMetasIsLeft: bbolt panics where it begins a transaction, and keeps its locks. Nobody waits for them: not who
// comes later, nor who comes at the same time, nor who closes the shard.
func TestFileWithoutMetasIsLeft(t *testing.T) {
	p := newPristine(t)
	for name, use := range map[string]func(s *Shard) error{
		"a read": func(s *Shard) error {
			return s.Scan(t.Context(), Query{Series: Series{"db", "c", "device-1"}, To: NoEnd}, nil)
		},
		"a flush": func(s *Shard) error { _, err := s.Flush(t.Context()); return err },
		"a scrub": func(s *Shard) error { _, _, err := s.Scrub(t.Context(), "", 1<<20); return err },
	} {
		for way, spoil := range map[string]func(s *Shard){
			"empty":   func(s *Shard) { _ = os.Truncate(s.o.Path, 0) },
			"zeroes":  func(s *Shard) { writeOver(t, s.o.Path, 0, make([]byte, 2*4096)) },
			"foreign": func(s *Shard) { writeOver(t, s.o.Path, 0, bytes.Repeat([]byte{0xa5}, 2*4096)) },
		} {
			s := p.openCopy(t)
			apply(t, s, AppendPut(nil, []Point{point("device-1", 5, "w", 1)}))
			spoil(s)
			var users sync.WaitGroup
			for range 4 {
				users.Go(func() {
					if err := use(s); !errors.Is(err, ErrDamaged) {
						t.Errorf("%s of a file that is %s: %v", name, way, err)
					}
				})
			}
			users.Wait()
			if err := use(s); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s of a file that is %s, again: %v", name, way, err)
			}
			if err := s.Close(); err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrStorage) {
				t.Errorf("%s of a file that is %s: close: %v", name, way, err)
			}
		}
	}
}

// TestListOfSeriesIsWholeOrDamaged: whatever byte goes bad of the index of series, or of what leads to it, a list of them is
// whole, or the file is said to be damaged: a search for the first name would leave out what it does not find.
func TestListOfSeriesIsWholeOrDamaged(t *testing.T) {
	p := newPristine(t)
	healthy := p.openCopy(t)
	want, err := healthy.Series("db", "c")
	if err != nil || len(want) == 0 || healthy.Close() != nil {
		t.Fatal(want, err)
	}
	random := rand.New(rand.NewPCG(23, 24))
	found := make(map[string]int)
	for i := range rounds(240) {
		class := []string{"series key", "bucket root", "inline bucket", "leaf head", "leaf element", "branch element"}[i%6]
		s, what := p.openFlipped(t, class, random, byte(1+random.IntN(255)))
		got, err := s.Series("db", "c")
		switch {
		case errors.Is(err, ErrDamaged):
			found[class]++
		case err != nil || !slices.Equal(got, want):
			t.Errorf("%s: %d of %d series, %v", what, len(got), len(want), err)
		}
		abandon(t, s)
	}
	if found["series key"] != rounds(240)/6 {
		t.Errorf("found: %v", found)
	}
	t.Log(found)
}

// TestListOfSeriesIsCounted: a page of the index that says that it has one name less loses the last one in silence.
func TestListOfSeriesIsCounted(t *testing.T) {
	p := newPristine(t)
	s := p.openCopy(t)
	first := leavesOf(t, s, bucketSeries)[0]
	at := int64(first.id)*int64(len(first.page)) + 10
	count := binary.NativeEndian.Uint16(p.bytes[at:]) - 1
	writeOver(t, s.o.Path, at, binary.NativeEndian.AppendUint16(nil, count))
	if got, err := s.Series("db", "c"); !errors.Is(err, ErrDamaged) {
		t.Errorf("%d series, %v", len(got), err)
	}
}
