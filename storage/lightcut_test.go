package storage

import (
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

// TestCutOverAnEmptyHeadIsPinnedWithoutAWrite: it shows what a written one would show, to whoever reads, copies or inspects,
// and is in the file once somebody asks for that.
func TestCutOverAnEmptyHeadIsPinnedWithoutAWrite(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	apply(t, s, AppendPut(nil, []Point{point("d", 1, "v", 1)}))
	root := root2(t, pinCut(t, s, "written"))
	written, flushes := s.Durable(), s.Stats().Flushes
	s.Apply([]Entry{{Index: written.Index + 1, Term: 1, Config: true, Data: []byte("voters")}})
	v := pinCut(t, s, "light")
	at := s.Applied()
	if n, d := s.Stats().Flushes, s.Durable().Position; n != flushes || d != written.Position || v.Index() != at {
		t.Fatalf("%d flushes instead of %d, the file stands at %v, it stood at %v, the cut is at %v instead of %v", n, flushes, d, written.Position, v.Index(), at)
	}
	state, err := v.State()
	if err != nil {
		t.Fatal(err)
	}
	took, err := parseTakeover(state)
	if err != nil || took.applied != at || string(took.configuration) != "voters" || took.configurationIndex != written.Index+1 || len(took.leases) != 2 {
		t.Fatalf("its state is %+v, %v", took, err)
	}
	apply(t, s, AppendPut(nil, []Point{point("d", 2, "v", 2)}))
	if d, err := s.Flush(t.Context()); err != nil || d.Index != at.Index+1 || d.ConfigurationIndex != written.Index+1 {
		t.Fatalf("flushed through %+v, %v", d, err)
	}
	if a, b := root2(t, v), rootAnew(t, v); a != root || b != root {
		t.Fatalf("stored digests give %s, blocks %s, the points have %s", a, b, root)
	}
	if r, err := v.Inspect(t.Context(), nil); err != nil || r.Structure != nil {
		t.Fatalf("inspected: %v, %v", r.Structure, err)
	}
}

// TestFlushBesideALightCutIsAWrite: whoever asks for everything to be on disk gets that, whatever is pinned meanwhile.
func TestFlushBesideALightCutIsAWrite(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	apply(t, s, AppendPut(nil, []Point{point("d", 1, "v", 1)}))
	if _, err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		cut := make(chan uint64)
		go func() { cut <- apply(t, s, AppendCut(nil, Cut{ID: "c", TTL: time.Minute})) }()
		before := s.Applied()
		if d, err := s.Flush(t.Context()); err != nil || d.Index < before.Index {
			t.Fatalf("flushed through %d, applied was %d: %v", d.Index, before.Index, err)
		}
		at := <-cut
		if d, err := s.Flush(t.Context()); err != nil || d.Index < at {
			t.Fatalf("flushed through %d, the cut is at %d: %v", d.Index, at, err)
		}
		apply(t, s, AppendEnd(nil, "c"))
	}
}

// TestWhatALightCutLeavesOutIsWrittenInTime: a lease that a crash would have to bring back from the log is in the file when
// the head that it came with would have been.
func TestWhatALightCutLeavesOutIsWrittenInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := testOptions(t)
		o.FlushAge = time.Minute
		s := mustOpen(t, o)
		defer s.Close()
		apply(t, s, AppendPut(nil, []Point{point("d", 1, "v", 1)}))
		if _, err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		apply(t, s, AppendCut(nil, Cut{ID: "c", TTL: time.Hour}))
		at := s.Applied()
		synctest.Wait()
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if d := s.Durable(); d.Index == at.Index {
			t.Fatal("it was written at once")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if d := s.Durable(); d.Position != at {
			t.Fatalf("the file stands at %v, applied is %v", d.Position, at)
		}
	})
}

// TestCutThatChangesMoreThanTheStateIsWritten: points and deletes, and what was computed and would be lost.
func TestCutThatChangesMoreThanTheStateIsWritten(t *testing.T) {
	s := mustOpen(t, testOptions(t))
	apply(t, s, AppendPut(nil, []Point{point("d", 1, "v", 1), point("d", 5, "v", 1)}))
	pinCut(t, s, "points")
	apply(t, s, AppendDelete(nil, Delete{Series{Database: "db"}, 0, 2}))
	v := pinCut(t, s, "delete")
	if d := s.Durable().Position; d != v.Index() {
		t.Fatalf("the file stands at %v, the cut that deletes at %v", d, v.Index())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := newHead()
	h.state, h.cuts = s.durable, []string{"c"}
	if !s.isLight(h) {
		t.Fatal("a cut alone is written")
	}
	s.waiters.Add(1)
	if s.isLight(h) {
		t.Fatal("somebody waits for a flush, and there is none")
	}
	s.waiters.Add(-1)
	h.state.blockFormat++
	if s.isLight(h) {
		t.Fatalf("blocks of version %d, and no write", blocks.FormatVersion+1)
	}
	h.state = s.durable
	for leaf := range int64(lightDigests) {
		s.known.pending[digest.Leaf{Window: leaf}] = knownDigest{}
	}
	if s.isLight(h) {
		t.Fatalf("%d digests wait, and no write", lightDigests)
	}
	clear(s.known.pending)
}

// TestFileIsMadeWithoutASync: 256 groups that are born, or copied into a node, would each wait for syncs of empty files.
func TestFileIsMadeWithoutASync(t *testing.T) {
	if !lateBirth {
		t.Skip("an open file cannot be renamed here")
	}
	o := testOptions(t)
	s := mustOpen(t, o)
	if _, err := os.Stat(o.Path); !errors.Is(err, os.ErrNotExist) || s.file.db.NoSync != true {
		t.Fatalf("the file has its name, or is synced: %v", err)
	}
	if err := s.Check(t.Context()); err != nil { // as OpenShard finds it: it is not walked then
		t.Fatal(err)
	}
	if n := s.file.last.Load().txid; n > 1 {
		t.Fatalf("%d transactions made it", n)
	}
}
