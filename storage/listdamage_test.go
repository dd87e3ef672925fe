package storage

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// standStill ends a shard's flusher, so that a damaged file can be made whole again and read on.
func standStill(s *Shard) {
	s.fail(ErrClosed)
	s.poke()
	<-s.done
	s.err = nil
}

// indexPage is the first leaf page of the index of series, and how many bytes of it are in use.
func indexPage(t *testing.T, s *Shard) (at int64, page []byte) {
	t.Helper()
	first := leavesOf(t, s, bucketSeries)[0]
	p, err := pageHead(first.id, first.page)
	if err != nil {
		t.Fatal(err)
	}
	_, used, err := p.elements(nil)
	if err != nil {
		t.Fatal(err)
	}
	return int64(first.id) * int64(len(first.page)), slices.Clone(first.page[:used])
}

// TestEveryByteOfTheIndexOfSeries: whichever bit of it flips, a list of series, and a read of a collection, is whole or the
// file is damaged. A first key that has become larger than the names that are looked for once made a list empty, a count that
// is lower made it shorter, and an element that has got the place of another one gave that twice.
func TestEveryByteOfTheIndexOfSeries(t *testing.T) {
	p := newPristine(t)
	s := p.openCopy(t)
	standStill(s)
	want, err := s.Series("db", "c")
	if err != nil || len(want) < 10 {
		t.Fatal(len(want), err)
	}
	at, page := indexPage(t, s)
	file, err := os.OpenFile(s.o.Path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	scan := func() (rows int, err error) {
		err = s.Scan(t.Context(), Query{Series: Series{"db", "c", ""}, From: MinTime, To: NoEnd}, func(series Series, c *blocks.Columns) error {
			rows += c.Len()
			return context.Canceled // the first chunk tells
		})
		return rows, err
	}
	met := 0
	for i, b := range page {
		for _, flip := range []byte{1, 0x80, byte(0xfe - i%16), 0xff} {
			if _, err := file.WriteAt([]byte{b ^ flip}, at+int64(i)); err != nil {
				t.Fatal(err)
			}
			got, err := s.Series("db", "c")
			if errors.Is(err, ErrDamaged) {
				met++
			} else if err != nil || !slices.Equal(got, want) {
				t.Errorf("byte %d of the page ^ %#x: %d of %d series, %v", i, flip, len(got), len(want), err)
			}
			s.file.damaged.Store(nil)
			if i%8 == 0 {
				if rows, err := scan(); rows == 0 && !errors.Is(err, ErrDamaged) {
					t.Errorf("byte %d of the page ^ %#x: no row, %v", i, flip, err)
				}
				s.file.damaged.Store(nil)
			}
			if _, err := file.WriteAt([]byte{b}, at+int64(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got, err := s.Series("db", "c"); err != nil || !slices.Equal(got, want) || met < 3*len(page) {
		t.Errorf("in the end: %d series, %v; %d flips were met, of %d bytes", len(got), err, met, len(page))
	}
}
