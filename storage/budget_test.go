package storage

import (
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestI9BudgetFlushesTheLargestHeads: memory of all heads stays near the budget, and quiet shards keep theirs.
func TestI9BudgetFlushesTheLargestHeads(t *testing.T) {
	budget := NewBudget(1 << 20)
	var shards []*Shard
	for i := range 4 {
		o := testOptions(t)
		o.Path = filepath.Join(t.TempDir(), fmt.Sprint(i))
		o.Budget = budget
		shards = append(shards, mustOpen(t, o))
	}
	quiet := shards[3]
	apply(t, quiet, AppendPut(nil, []Point{point("q", 1, "v", 1)}))
	for i := range 2000 {
		var points []Point
		for d := range 40 {
			points = append(points, point(fmt.Sprint(d), int64(i), "v", i))
		}
		apply(t, shards[i%3], AppendPut(nil, points))
		if used := budget.Used(); used > 3<<20 {
			t.Fatalf("heads take %d bytes", used)
		}
	}
	waitFor(t, func() bool { return budget.Used() <= 1<<20 })
	if n := quiet.Stats().Flushes; n != 0 {
		t.Errorf("the quiet shard was flushed %d times", n)
	}
	for _, s := range shards {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if used := budget.Used(); used != 0 {
		t.Fatalf("%d bytes are accounted for after all is closed", used)
	}
}

func TestHeadMemoryIsAccountedExactly(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	for i := range 50 {
		apply(t, s, AppendPut(nil, []Point{point(fmt.Sprint(i%5), int64(50-i), "v", 1.5, "s", fmt.Sprint("text", i)), point(fmt.Sprint(i%5), int64(i), "w", i)}))
	}
	readAll(t, s, false) // sorts runs
	apply(t, s, AppendDelete(nil, Delete{Series{"db", "c", "3"}, MinTime, NoEnd}))
	apply(t, s, AppendDelete(nil, Delete{Series{"db", "c", ""}, 10, 20}))
	var want int64
	for key, hs := range s.active.series {
		want += int64(len(key)) + seriesBytes
		for _, r := range hs.runs {
			want += runBytes + r.bytes()
		}
	}
	for _, d := range s.active.deletes {
		want += int64(len(d.prefix)) + 64
	}
	if got := s.active.bytes; got != want {
		t.Fatalf("head counts %d bytes, has %d", got, want)
	}
}

func TestOldHeadsAreFlushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := testOptions(t)
		o.FlushAge = time.Minute
		s := mustOpen(t, o)
		defer s.Close()
		apply(t, s, AppendPut(nil, []Point{point("d", 1, "v", 1)}))
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if n := s.Stats().Flushes; n != 0 {
			t.Fatalf("%d flushes", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := s.Durable().Index; got != 1 {
			t.Fatalf("durable %d", got)
		}
		apply(t, s, AppendNoop(nil)) // nothing worth a commit
		time.Sleep(time.Hour)
		synctest.Wait()
		if n := s.Stats().Flushes; n != 1 {
			t.Fatalf("%d flushes", n)
		}
	})
}

func TestWastefulFileIsCompactedWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := testOptions(t)
		o.MinCompactBytes = 1 << 20
		s := mustOpen(t, o)
		defer s.Close()
		for i := range 20 {
			var points []Point
			for d := range 2000 {
				points = append(points, point(fmt.Sprint(d), int64(i), "s", fmt.Sprintf("%d-%0100d", i, d)))
			}
			apply(t, s, AppendPut(nil, points))
		}
		apply(t, s, AppendPut(nil, []Point{point("kept", 1, "v", 1)}))
		if _, err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		full := s.Stats().Bytes
		v := pinCut(t, s, "view")
		for d := range 1990 {
			apply(t, s, AppendDelete(nil, Delete{Series{"db", "c", fmt.Sprint(d)}, MinTime, NoEnd}))
		}
		if _, err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if _, err := v.Leaves(); err != nil || s.Stats().Bytes < full {
			t.Fatalf("compacted under a view: %v", err)
		}
		want := readAll(t, s, false)
		apply(t, s, AppendEnd(nil, "view"))
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := s.Stats().Bytes; got > full/2 {
			t.Fatalf("file takes %d bytes, took %d", got, full)
		}
		compare(t, "compacted", readAll(t, s, false), want)
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		apply(t, s, AppendPut(nil, []Point{point("kept", 2, "v", 2)}))
		if _, err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}
