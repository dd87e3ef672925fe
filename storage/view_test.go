package storage

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

func TestViewStaysAtItsCutWhileWritesGoOn(t *testing.T) {
	o := testOptions(t)
	o.MaxHeadBytes = 4 << 10
	s := mustOpen(t, o)
	put := func(round int) {
		var points []Point
		for d := range 20 {
			points = append(points, point(fmt.Sprint("d", d), int64(round)*int64(time.Second), "v", float64(round*d)/100))
		}
		apply(t, s, AppendPut(nil, points))
	}
	for round := range 20 {
		put(round)
	}
	at := s.Applied().Index + 1
	v := pinCut(t, s, "first")
	if got := v.Index(); got != (Position{at, 1}) {
		t.Fatalf("pinned at %v, cut at %d", got, at)
	}
	root, entries, err := v.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for round := range 100 {
		put(round)
		if round%10 == 0 {
			apply(t, s, AppendDelete(nil, Delete{Series{Database: "db"}, int64(round) * 1e8, int64(round) * 2e8}))
		}
	}
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	again, _, err := v.ReadRoot(t.Context())
	if err != nil || again != root {
		t.Fatalf("root was %s, is %s, %v", root, again, err)
	}
	for _, e := range entries {
		if d, err := v.Digest(t.Context(), e.Leaf); err != nil || d != e.LeafDigest {
			t.Fatalf("leaf %v: %v, %v", e.Leaf, d, err)
		}
	}
	w := pinCut(t, s, "second")
	if other, _, err := w.Root(t.Context()); err != nil || other == root {
		t.Fatalf("root after writes: %s, %v", other, err)
	}
	if a, b := root2(t, w), rootAnew(t, w); a != b {
		t.Fatalf("stored digests give %s, blocks %s", a, b)
	}
}

func root2(t *testing.T, v *View) digest.ID {
	t.Helper()
	id, _, err := v.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func rootAnew(t *testing.T, v *View) digest.ID {
	t.Helper()
	id, _, err := v.ReadRoot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestViewEndsWithItsTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, testOptions(t))
		defer s.Close()
		apply(t, s, AppendPut(nil, []Point{point("d", 1, "v", 1)}))
		apply(t, s, AppendCut(nil, Cut{ID: "c", TTL: time.Minute}))
		v, err := s.AwaitView(t.Context(), "c")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		apply(t, s, AppendLease(nil, Lease{ID: "c", TTL: time.Minute})) // renewed
		time.Sleep(59 * time.Second)
		if _, _, err := v.Root(t.Context()); err != nil {
			t.Fatalf("before its end: %v", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if _, _, err := v.Root(t.Context()); !errors.Is(err, ErrNotPinned) {
			t.Fatalf("after its end: %v", err)
		}
		if _, err := s.AwaitView(t.Context(), "c"); !errors.Is(err, ErrNotPinned) {
			t.Fatalf("asked after its end: %v", err)
		}
		if n := s.Stats().Views; n != 0 {
			t.Fatalf("%d views are left", n)
		}
	})
}

func TestViewEndsByCommand(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	v := pinCut(t, s, "c")
	other, err := s.AwaitView(t.Context(), "c")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Leaves(); err != nil {
		t.Fatalf("after another handle was closed: %v", err)
	}
	apply(t, s, AppendEnd(nil, "c"))
	if _, err := v.Leaves(); !errors.Is(err, ErrNotPinned) {
		t.Fatal(err)
	}
}

func TestMoreCutsThanViews(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	for i := range MaxViews {
		pinCut(t, s, fmt.Sprint(i))
	}
	apply(t, s, AppendCut(nil, Cut{ID: "more", TTL: time.Hour}))
	if _, err := s.AwaitView(t.Context(), "more"); !errors.Is(err, ErrNotPinned) {
		t.Fatal(err)
	}
	apply(t, s, AppendEnd(nil, "0"))
	pinCut(t, s, "after")
}

func TestViewEndsWhenTooMuchIsWrittenUnderIt(t *testing.T) {
	o := testOptions(t)
	o.MaxViewBytes = 2000
	s := mustOpen(t, o)
	v := pinCut(t, s, "c")
	for i := range 100 {
		apply(t, s, AppendPut(nil, []Point{point(fmt.Sprint(i), 1, "v", 1)}))
	}
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Leaves(); !errors.Is(err, ErrNotPinned) {
		t.Fatal(err)
	}
}

func TestAwaitViewWaitsForTheCut(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.AwaitView(short, "c"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("before the cut: %v", err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			v, err := s.AwaitView(t.Context(), "c")
			if err != nil || v.Index().Index != 1 {
				t.Errorf("%v", err)
			}
		})
	}
	apply(t, s, AppendCut(nil, Cut{ID: "c", TTL: time.Hour}))
	wg.Wait()
}

func TestCutReplayedAtStartIsNotPinned(t *testing.T) {
	o := testOptions(t)
	o.ReplayThrough = 2
	s := mustOpen(t, o)
	apply(t, s, AppendNoop(nil))
	apply(t, s, AppendCut(nil, Cut{ID: "old", TTL: time.Hour, HoldLog: true}))
	if _, err := s.AwaitView(t.Context(), "old"); !errors.Is(err, ErrNotPinned) {
		t.Fatal(err)
	}
	if floor, ok := s.LeaseFloor(); floor != 2 || !ok {
		t.Fatalf("its lease on the log: %d %v", floor, ok)
	}
	pinCut(t, s, "new")
}

func TestI9ApplyWaitsForFrozenHeads(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	tx, err := s.file.db.Begin(true) // the flusher cannot write
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range MaxFrozen + 1 {
			s.Apply([]Entry{{Index: uint64(i + 1), Term: 1, Data: AppendCut(nil, Cut{ID: fmt.Sprint(i), TTL: time.Hour})}})
		}
	}()
	// The last one is applied in memory, but its head finds no room.
	waitFor(t, func() bool { return s.Applied().Index == MaxFrozen+1 })
	select {
	case <-done:
		t.Fatal("Apply froze more heads than may wait")
	default:
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	<-done
	if v, err := s.AwaitView(t.Context(), "3"); err != nil || v.Index().Index != 4 {
		t.Fatal(err)
	}
}

func TestCloseWithViewAndReader(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	apply(t, s, AppendPut(nil, []Point{point("d", 1, "v", 1), point("e", 1, "v", 1)}))
	v := pinCut(t, s, "c")
	leaves, err := v.Leaves()
	if err != nil {
		t.Fatal(err)
	}
	inside, closed := make(chan struct{}), make(chan error)
	go func() {
		<-inside
		closed <- s.Close()
	}()
	err = v.ReadLeaf(t.Context(), leaves[0], func(_, block []byte) error {
		close(inside)
		waitFor(t, func() bool { return !v.pin.live() })
		_ = block[0] // still mapped: Close waits for this operation
		return errors.New("enough")
	})
	if err == nil {
		t.Fatal("no error")
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if _, err := s.AwaitView(t.Context(), "c"); !errors.Is(err, ErrClosed) {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
