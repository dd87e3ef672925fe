package raftlog

import (
	"context"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// scrubAll scrubs to the end, step bytes at a time.
func scrubAll(t *testing.T, e Engine, step int64) (bytes int64, bad []BadRecord) {
	t.Helper()
	for cursor, calls := "", 0; ; calls++ {
		next, n, found, err := e.Scrub(context.Background(), cursor, step)
		must(t, err)
		bytes, bad = bytes+n, append(bad, found...)
		if next == "" {
			return bytes, bad
		}
		if next == cursor || calls > 1e6 {
			t.Fatalf("the scrub stands at %s", cursor)
		}
		cursor = next
	}
}

// flip changes one byte where a read and a crash see it.
func (d *memFiles) flip(name string, off int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.files[name].now[off] ^= 0x10
	d.files[name].durable[off] ^= 0x10
}

// damaged names a byte of a segment and what it belongs to.
type damagedByte struct {
	name string
	off  int64
	what string
}

// anyByte picks a byte that means something: not padding, nor what was never written.
func anyByte(t *testing.T, files *memFiles, r *rand.Rand) damagedByte {
	batches := batchesOf(t, files)
	b := batches[r.IntN(len(batches))]
	name := nameOf(files, b.file)
	switch d := int64(b.header.dirOffset); r.IntN(10) {
	case 0:
		return damagedByte{name, r.Int64N(28), "segment header"}
	case 1, 2:
		return damagedByte{name, b.off + r.Int64N(batchHeaderSize), "batch header"}
	case 3, 4:
		if b.header.dirLength > 0 {
			return damagedByte{name, b.off + d + r.Int64N(int64(b.header.dirLength)), "directory"}
		}
		return damagedByte{name, b.off, "batch header"}
	default:
		if d > batchHeaderSize {
			return damagedByte{name, b.off + batchHeaderSize + r.Int64N(d-batchHeaderSize), "record"}
		}
		return damagedByte{name, b.off + 8, "batch header"}
	}
}

func damageRounds() int {
	if os.Getenv("SOAK") != "" {
		return 1000
	}
	return 80
}

// TestScrubFindsEveryFlippedByteAndMendsItFromMemory: whatever byte of whatever batch goes bad, one scrub finds it, no
// entry is lost, and a start afterwards finds nothing wrong, as if it had never been.
func TestScrubFindsEveryFlippedByteAndMendsItFromMemory(t *testing.T) {
	whats := make(map[string]int)
	for round := range damageRounds() {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(round), 7))
			files := newMemFiles()
			s := openMem(t, files, SharedOptions{OnCorrupt: func(e *CorruptError) { t.Errorf("round %d: told of %v", round, e) }})
			for group := uint32(1); group <= 3; group++ {
				l := openLog(t, s, group)
				for i := uint64(1); i < 300; i += 30 {
					must(t, l.StoreLogs(entries(group, i, i+29, 1)))
				}
				l.SetSnapshotIndex(at(20))
				l.SetFloor(at(20))
				must(t, l.DeleteRange(1, 9))
			}
			synctest.Wait()
			if _, bad := scrubAll(t, s, 1<<20); len(bad) > 0 {
				t.Fatalf("a whole log: %v", bad)
			}
			d := anyByte(t, files, r)
			whats[d.what]++
			files.flip(d.name, d.off)
			_, bad := scrubAll(t, s, 1+r.Int64N(100<<10))
			if len(bad) == 0 {
				t.Fatalf("round %d: %s: byte %d of %s was not found", round, d.what, d.off, d.name)
			}
			for _, b := range bad {
				if !b.Harmless && !b.Mended {
					t.Errorf("round %d: %s: %+v", round, d.what, b)
				}
			}
			synctest.Wait() // the reclaimer
			_, bad = scrubAll(t, s, 1<<20)
			if slices.ContainsFunc(bad, func(b BadRecord) bool { return !b.Harmless }) {
				t.Errorf("round %d: %s: found again: %+v", round, d.what, bad)
			}
			must(t, s.Close())
			s = openMem(t, files, SharedOptions{})
			if s.lostAll {
				t.Errorf("round %d: %s: a start takes it for a loss", round, d.what)
			}
			for group := uint32(1); group <= 3; group++ {
				l := openLog(t, s, group)
				must(t, l.Check())
				holds(t, l, group, 10, 300, term(1))
			}
			must(t, s.Close())
		})
	}
	t.Log(whats)
}

// TestScrubOfFramesFindsWhatNoGroupReads: each byte of the headers and directories is found and mended, and records are
// left to the scrubs of their groups. What those two find together a scrub finds.
func TestScrubOfFramesFindsWhatNoGroupReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newMemFiles()
		s := openMem(t, files, SharedOptions{OnCorrupt: func(e *CorruptError) { t.Errorf("told of %v", e) }})
		l := openLog(t, s, 1)
		for i := uint64(1); i < 300; i += 30 {
			must(t, l.StoreLogs(entries(1, i, i+29, 1)))
		}
		frames := func() (bad []BadRecord) {
			for cursor, calls := "", 0; ; calls++ {
				next, _, found, err := s.ScrubFrames(t.Context(), cursor, 4<<10)
				must(t, err)
				if bad, cursor = append(bad, found...), next; next == "" || calls > 1e4 {
					return bad
				}
			}
		}
		if bad := frames(); len(bad) > 0 {
			t.Fatalf("a whole log: %v", bad)
		}
		for round := range 200 {
			d := anyByte(t, files, rand.New(rand.NewPCG(uint64(round), 9)))
			files.flip(d.name, d.off)
			bad := frames()
			if (d.what == "record") != (len(bad) == 0) || slices.ContainsFunc(bad, func(b BadRecord) bool { return !b.Mended || b.Index > 0 }) {
				t.Errorf("round %d: byte %d of %s, in a %s: %v", round, d.off, d.name, d.what, bad)
			}
			if d.what == "record" {
				if _, _, bad, err := l.Scrub(t.Context(), 0, 1<<30); err != nil || len(bad) > 1 {
					t.Errorf("round %d: the group's: %v, %v", round, bad, err)
				}
			}
			synctest.Wait() // the reclaimer
		}
		holds(t, l, 1, 1, 300, term(1))
		must(t, l.Check())
		must(t, s.Close())
	})
}

// TestScrubTellsTheOwnerOfWhatNoMemoryHas: a live entry that is bad on disk and nowhere else goes the way of any bad
// entry; once its owner has dropped it, nothing is wrong any more.
func TestScrubTellsTheOwnerOfWhatNoMemoryHas(t *testing.T) {
	onBoth(t, func(t *testing.T, h *harness) {
		l := h.log(3)
		must(t, l.StoreLogs(entries(3, 1, 40, 1)))
		must(t, l.Close())
		h.stop()
		h.corrupt(h, 3, 17)
		var told []CorruptError
		onCorrupt := func(e *CorruptError) { told = append(told, *e) }
		open := h.open
		h.open = func(dir string) (Engine, error) {
			e, err := open(dir)
			switch e := e.(type) {
			case *Shared:
				e.o.OnCorrupt = onCorrupt
			case *Bolt:
				e.o.OnCorrupt = onCorrupt
			}
			return e, err
		}
		h.start()
		l = h.log(3)
		_, bad := scrubAll(t, h.engine, 64)
		if len(bad) != 1 || bad[0].Group != 3 || bad[0].Index != 17 || bad[0].Mended || bad[0].Harmless || bad[0].Where == "" {
			t.Errorf("found %+v", bad)
		}
		if len(told) != 1 || told[0].Index != 17 {
			t.Errorf("told %v", told)
		}
		if _, _, again, err := l.Scrub(context.Background(), 0, 1<<20); err != nil || len(again) != 1 || again[0].Index != 17 {
			t.Errorf("its own scrub: %+v %v", again, err)
		}
		if err := l.Check(); err == nil {
			t.Error("the log says that nothing is wrong")
		}
		must(t, l.Drop(17))
		must(t, l.Check())
		_, bad = scrubAll(t, h.engine, 1<<20)
		if slices.ContainsFunc(bad, func(b BadRecord) bool { return !b.Harmless }) {
			t.Errorf("after the drop: %+v", bad)
		}
		holds(t, l, 3, 18, 40, term(1))
	})
}

// TestScrubGoesOnWhereItStood: a cursor of an earlier process leads on; all bytes are read once.
func TestScrubGoesOnWhereItStood(t *testing.T) {
	onBoth(t, func(t *testing.T, h *harness) {
		for group := uint32(1); group <= 3; group++ {
			must(t, h.log(group).StoreLogs(entries(group, 1, 200, 1)))
		}
		h.stop() // with the batch that closes the log
		h.start()
		open := func() {
			for group := uint32(1); group <= 3; group++ {
				h.log(group)
			}
		}
		open()
		whole, _ := scrubAll(t, h.engine, 1<<30)
		var sum int64
		for cursor := ""; ; {
			next, n, bad, err := h.engine.Scrub(context.Background(), cursor, 4<<10)
			must(t, err)
			if sum += n; len(bad) > 0 || n == 0 {
				t.Fatalf("%d bytes, %v", n, bad)
			}
			if cursor = next; next == "" {
				break
			}
			h.stop()
			h.start()
			open()
		}
		if slack := int64(64 << 10); sum < whole || sum > whole+slack { // a start may add an empty batch
			t.Errorf("%d bytes in pieces, %d at once", sum, whole)
		}
		for _, cursor := range []string{"nonsense", "ffff:zz", "99999:1", "ffffffffffffffff:20"} {
			if _, _, bad, err := h.engine.Scrub(context.Background(), cursor, 1<<30); err != nil || len(bad) > 0 {
				t.Errorf("cursor %q: %v %v", cursor, bad, err)
			}
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, _, _, err := h.engine.Scrub(ctx, "", 1<<30); err == nil {
			t.Error("it goes on after its context has ended")
		}
	})
}

// TestScrubBesideAppendsFindsNothing: appends, truncations, compactions and freed segments are no damage, and the
// writers are not in its way.
func TestScrubBesideAppendsFindsNothing(t *testing.T) {
	files := newMemFiles()
	s := openMem(t, files, SharedOptions{MemoryBytes: 64 << 10, OnCorrupt: func(e *CorruptError) { t.Error(e) }})
	var wg sync.WaitGroup
	var writing atomic.Int32
	for group := uint32(1); group <= 3; group++ {
		l := openLog(t, s, group)
		writing.Add(1)
		wg.Go(func() {
			defer writing.Add(-1)
			r := rand.New(rand.NewPCG(uint64(group), 1))
			var snapshot atomic.Uint64
			l.SetSnapshotIndex(snapshot.Load)
			l.SetFloor(func() uint64 { return 1 << 62 })
			for last, n := uint64(0), 0; n < 400; n++ {
				switch k := r.IntN(20); {
				case k == 0 && last > snapshot.Load()+1:
					if end, err := l.LastIndex(); err == nil && end == last { // it is not empty
						must(t, l.DeleteRange(last, last))
						last--
					}
				case k == 1 && last > snapshot.Load()+10:
					snapshot.Store(last - r.Uint64N(10))
					must(t, l.DeleteRange(1, snapshot.Load()))
				case k == 2:
					must(t, l.Reset(last+1, l.Generation()))
				default:
					add := 1 + r.Uint64N(40)
					must(t, l.StoreLogs(entries(group, last+1, last+add, 1)))
					last += add
				}
			}
		})
	}
	passes := 0
	for writing.Load() > 0 {
		if _, bad := scrubAll(t, s, 32<<10); len(bad) > 0 {
			t.Errorf("pass %d: %v", passes, bad)
		}
		passes++
	}
	wg.Wait()
	t.Log(passes, "passes")
}

// TestBatchThatRotsAtTheEndIsLeft: the segment that is written to is condemned like any other.
func TestBatchThatRotsAtTheEndIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		files := newMemFiles()
		s := openMem(t, files, SharedOptions{})
		l := openLog(t, s, 1)
		must(t, l.StoreLogs(entries(1, 1, 5, 1)))
		b := batchesOf(t, files)[0]
		files.flip(nameOf(files, b.file), b.off+16)
		_, bad := scrubAll(t, s, 1<<20)
		if len(bad) != 1 || !bad[0].Mended || bad[0].Index != 0 {
			t.Errorf("%+v", bad)
		}
		synctest.Wait()
		if s.segments.condemned() || s.segments.current().condemned.Load() {
			t.Error("it is still there")
		}
		must(t, l.StoreLog(entry(1, 6, 1)))
		must(t, s.Close())
		s = openMem(t, files, SharedOptions{})
		l = openLog(t, s, 1)
		must(t, l.Check())
		holds(t, l, 1, 1, 6, term(1))
	})
}
