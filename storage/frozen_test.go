package storage

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// The flusher, and every pinned view, read a frozen head without the lock: a
// query that sorts what it found there must keep the result to itself, or rows
// miss in the file while the flush says that all is well.
func TestQueriesDoNotSortAHeadThatIsBeingFlushed(t *testing.T) {
	const devices, days = 100, 200
	device := func(i int) Series { return Series{Database: "d", Collection: "c", Device: string(rune('a' + i))} }
	for range 12 {
		s, err := OpenShard(Options{
			Path: filepath.Join(t.TempDir(), "shard.db"), Identity: Identity{ClusterID: "c", Group: 1, Lineage: "l"},
			InitialMmapSize: 64 << 20, MaxHeadBytes: 1 << 30,
		})
		if err != nil {
			t.Fatal(err)
		}
		points := make([]Point, 0, devices*days)
		for i := range devices {
			for day := days - 1; day >= 0; day-- { // a backfill that walks back
				points = append(points, Point{Series: device(i), Time: int64(day) * int64(24*time.Hour),
					Fields: []Field{{Name: "v", Value: blocks.Int(int64(day))}}})
			}
		}
		s.Apply([]Entry{{Index: 1, Term: 1, Data: AppendPut(nil, points)}})
		all := Query{Series: Series{Database: "d", Collection: "c"}, From: MinTime, To: NoEnd}
		begun := make(chan struct{})
		var query sync.WaitGroup
		query.Go(func() {
			close(begun)
			q := all
			q.Limit = 1
			_ = s.Scan(t.Context(), q, func(Series, *blocks.Columns) error { return nil })
		})
		<-begun
		if _, err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		query.Wait()
		rows := 0
		err = s.Scan(t.Context(), all, func(_ Series, c *blocks.Columns) error {
			rows += c.Len()
			return nil
		})
		if err != nil || rows != devices*days {
			t.Fatalf("%d of %d rows are left, %v", rows, devices*days, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
