package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// manySeries is a shard with a point each of so many series, on many leaf pages, and nothing else.
func manySeries(t *testing.T, n int) *Shard {
	t.Helper()
	s := mustOpen(t, testOptions(t))
	points := make([]Point, n)
	for i := range points {
		points[i] = point(fmt.Sprintf("device-%05d", i), int64(i), "v", strings.Repeat(fmt.Sprint(i), 80))
	}
	apply(t, s, AppendPut(nil, points))
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAllPointsAreDeletedAtOnce: bbolt, asked for the last record where a transaction has emptied all leaf pages of several,
// does not come back, and nothing would be flushed any more.
func TestAllPointsAreDeletedAtOnce(t *testing.T) {
	s := manySeries(t, 500)
	apply(t, s, AppendDelete(nil, Delete{Series{Database: "db"}, MinTime, NoEnd}))
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, s, false); len(got) > 0 {
		t.Fatalf("%d series are left", len(got))
	}
	if st := s.Stats(); st.Series != 0 || st.Points != 0 || st.Parts != 0 {
		t.Fatalf("%+v", st)
	}
	s.file.knows(t)
	apply(t, s, AppendPut(nil, []Point{point("device-00007", 5, "v", 1.5)})) // and it goes on
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
}

var errRollBack = errors.New("rolled back")

// TestCursorPassesOverEmptiedPages: whatever was deleted, a cursor finds what is left, and goes by each emptied page about
// once, however often it comes there: a delete of a database would take minutes otherwise.
func TestCursorPassesOverEmptiedPages(t *testing.T) {
	s := manySeries(t, 2000)
	standStill(s)
	for _, left := range [][2]int{{}, {0, 1}, {0, 30}, {1000, 1001}, {1000, 1030}, {1970, 2000}, {1999, 2000}} {
		err := s.file.commit("empty", func(tx *bolt.Tx) error {
			b := s.file.bucket(tx, bucketBlocks)
			var keys [][]byte
			leaves := leafRanges(b)
			for _, l := range leaves {
				keys = append(keys, l.keys...)
			}
			if len(keys) != 2000 || len(leaves) < 100 {
				t.Fatalf("%d keys on %d pages", len(keys), len(leaves))
			}
			var first, last []byte
			if rest := keys[left[0]:left[1]]; len(rest) > 0 {
				first, last = rest[0], rest[len(rest)-1]
			}
			b.pages.next = 0
			c := b.Cursor()
			for i, k := range keys {
				if i >= left[0] && i < left[1] {
					continue
				}
				c.Seek(k)
				c.Prev()
				b.Cursor().Seek(k)
				if err := b.Delete(k); err != nil {
					return err
				}
			}
			for range 500 {
				if k, _ := c.First(); !bytes.Equal(k, first) {
					t.Errorf("%v left: the first is %x", left, k)
				}
				if k, _ := c.Last(); !bytes.Equal(k, last) {
					t.Errorf("%v left: the last is %x", left, k)
				}
				if k, _ := b.Cursor().Seek(keys[0]); !bytes.Equal(k, first) {
					t.Errorf("%v left: %x is the first from the lowest on", left, k)
				}
			}
			if looks := b.pages.next; looks > 20*(len(keys)+500) {
				t.Errorf("%v left: %d looks at %d pages for %d keys", left, looks, len(leaves), len(keys))
			}
			return errRollBack
		})
		if !errors.Is(err, errRollBack) {
			t.Fatal(err)
		}
	}
}
