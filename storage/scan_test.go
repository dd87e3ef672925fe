package storage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// bigShard has one device with 3 windows of 10,000 rows 1 ms apart, written late and early in random order, partly
// flushed.
func bigShard(t *testing.T) (*Shard, []int64) {
	t.Helper()
	o := testOptions(t)
	s := mustOpen(t, o)
	times := make([]int64, 30_000)
	for i := range times {
		times[i] = int64(i-15_000) * int64(time.Millisecond)
	}
	order := slices.Clone(times)
	random := rand.New(rand.NewPCG(3, 4))
	for lo := 0; lo < len(order); lo += 5000 { // mostly in order, with strays
		for range 300 {
			i, j := lo+random.IntN(5000), random.IntN(len(order))
			order[i], order[j] = order[j], order[i]
		}
	}
	for lo := 0; lo < len(order); lo += 500 {
		var points []Point
		for _, at := range order[lo : lo+500] {
			points = append(points, point("big", at, "v", float64(at%1000)/100))
		}
		apply(t, s, AppendPut(nil, points))
		if lo%3000 == 0 && lo < 27_000 {
			if _, err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return s, times
}

func scanTimes(t *testing.T, s *Shard, q Query) (times []int64) {
	t.Helper()
	err := s.Scan(t.Context(), q, func(_ Series, c *blocks.Columns) error {
		if c.Len() > blocks.MaxRows || c.Len() == 0 {
			t.Fatalf("chunk of %d rows", c.Len())
		}
		if q.Descending {
			times = append(slices.Clone(c.Times), times...)
		} else {
			times = append(times, c.Times...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return times
}

func TestScanRangesLimitsAndDirections(t *testing.T) {
	s, all := bigShard(t)
	random := rand.New(rand.NewPCG(5, 6))
	for i := range 200 {
		lo := random.IntN(len(all))
		hi := min(len(all), lo+random.IntN(12_000))
		q := Query{Series: Series{"db", "c", "big"}, From: all[lo], To: NoEnd, Descending: i%2 == 0}
		if hi < len(all) {
			q.To = all[hi]
		}
		if i%20 == 0 {
			q.From, q.To, lo, hi = MinTime, NoEnd, 0, len(all)
		}
		want := all[lo:hi]
		if i%3 == 0 {
			q.Limit = 1 + random.IntN(9000)
			if n := min(q.Limit, len(want)); q.Descending {
				want = want[len(want)-n:]
			} else {
				want = want[:n]
			}
		}
		if got := scanTimes(t, s, q); !slices.Equal(got, want) {
			t.Fatalf("%+v: %d rows, want %d", q, len(got), len(want))
		}
	}
}

func TestScanFields(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	apply(t, s, AppendPut(nil, []Point{point("d", 1, "a", 1, "b", 2), point("d", 2, "b", 3), point("d", 3, "a", 4), point("e", 1, "b", 5)}))
	for _, flushed := range []bool{false, true} {
		got := contents{}
		q := Query{Series: Series{"db", "c", ""}, From: 0, To: 9, Fields: []string{"a", "none"}, Limit: 2}
		if err := s.Scan(t.Context(), q, got.add(t, false)); err != nil {
			t.Fatal(err)
		}
		want := contents{}
		want.set(Series{"db", "c", "d"}, 1, "a", blocks.Int(1))
		want.set(Series{"db", "c", "d"}, 3, "a", blocks.Int(4))
		compare(t, fmt.Sprint("flushed ", flushed), got, want)
		if _, err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestListsFollowWritesAndDeletes(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	var points []Point
	for _, at := range []Series{{"db", "c", "1"}, {"db", "c", "2"}, {"db", "c2", "1"}, {"d", "b:c", "1"}} {
		points = append(points, Point{Series: at, Time: 5, Fields: []Field{{Name: "v", Value: blocks.Int(1)}}})
	}
	apply(t, s, AppendPut(nil, points[:2]))
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	apply(t, s, AppendPut(nil, points[2:]))
	lists := func() string {
		dbs, err1 := s.Databases()
		colls, err2 := s.Collections("db")
		series, err3 := s.Series("db", "c")
		all, err4 := s.Series("", "")
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(dbs, colls, series, len(all))
	}
	if got := lists(); got != "[d db] [c c2] [db:c:1 db:c:2] 4" {
		t.Fatal(got)
	}
	apply(t, s, AppendDelete(nil, Delete{Series{"db", "c", "2"}, 5, 6}))
	apply(t, s, AppendDelete(nil, Delete{Series{"d", "", ""}, MinTime, NoEnd}))
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := lists(); got != "[db] [c c2] [db:c:1] 2" {
		t.Fatal(got)
	}
	if st := s.Stats(); st.Series != 2 || st.Points != 2 || st.Parts != 2 {
		t.Fatalf("%+v", st)
	}
}

// TestPartsStayFew: small flushes of one hot series must not pile up parts, in order or out of it.
func TestPartsStayFew(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	random := rand.New(rand.NewPCG(7, 8))
	for i := range 300 {
		var points []Point
		for j := range 20 {
			points = append(points, point("in", int64(i*20+j), "v", j), point("out", random.Int64N(6000), "v", j))
		}
		apply(t, s, AppendPut(nil, points))
		if _, err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := s.Stats().Parts; n > 30 {
			t.Fatalf("%d parts after %d flushes", n, i+1)
		}
	}
	if got := scanTimes(t, s, Query{Series: Series{"db", "c", "in"}, From: 0, To: NoEnd}); len(got) != 6000 {
		t.Fatalf("%d rows", len(got))
	}
}

func TestClosedWindowsAreMerged(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	for i := range 6 { // a large part, then small ones that do not justify rewriting it
		var points []Point
		for j := range 1000 >> (2 * i) {
			points = append(points, point("d", int64(i*1000+j), "v", j))
		}
		points = append(points, point("d", int64(i), "late", i))
		apply(t, s, AppendPut(nil, points))
		if _, err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	before := s.Stats().Parts
	if before < 3 {
		t.Fatalf("%d parts: nothing to merge", before)
	}
	root := rootOf(t, s, "before")
	apply(t, s, AppendPut(nil, []Point{point("d", 2*int64(testWindow), "v", 1)}))
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { return s.Stats().Parts == 2 })
	apply(t, s, AppendDelete(nil, Delete{Series{Database: "db"}, 2 * int64(testWindow), NoEnd}))
	if after := rootOf(t, s, "after"); after != root {
		t.Fatalf("root was %s, is %s: merging changed the state", root, after)
	}
}

// TestReadersWhileEverythingMoves: with writes, flushes, cuts and deletes of another device going on, each scan of the
// hot device shows a prefix of its writes, at least as long as what was applied when it began.
func TestReadersWhileEverythingMoves(t *testing.T) {
	o := testOptions(t)
	o.MaxHeadBytes, o.MaxParts = 20<<10, 2
	s := mustOpen(t, o)
	const rounds = 400
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for r := range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				atLeast := s.Applied().Index / 2
				rows := 0
				q := Query{Series: Series{"db", "c", "hot"}, From: 0, To: NoEnd, Descending: r == 1}
				err := s.Scan(context.Background(), q, func(_ Series, c *blocks.Columns) error { rows += c.Len(); return nil })
				if err != nil || uint64(rows) < atLeast {
					t.Errorf("%d rows, %d had been applied, %v", rows, atLeast, err)
					return
				}
			}
		})
	}
	for i := range rounds {
		at := int64(i) * int64(testWindow) / 50
		apply(t, s, AppendPut(nil, []Point{point("hot", at, "v", i), point("cold", at, "v", i)}))
		switch i % 20 {
		case 5:
			apply(t, s, AppendCut(nil, Cut{ID: fmt.Sprint(i), TTL: time.Hour}))
		case 15:
			apply(t, s, AppendEnd(nil, fmt.Sprint(i-10)))
		case 10:
			apply(t, s, AppendDelete(nil, Delete{Series{"db", "c", "cold"}, MinTime, at}))
		case 18:
			if _, err := s.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		default:
			apply(t, s, AppendNoop(nil))
		}
	}
	cancel()
	wg.Wait()
	if got := scanTimes(t, s, Query{Series: Series{"db", "c", "hot"}, From: 0, To: NoEnd}); len(got) != rounds {
		t.Fatalf("%d rows", len(got))
	}
}
