package storage

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/storage/digest"
)

// manyPages is a shard with branches of branches, and values that overflow their pages.
func manyPages(t *testing.T) *View {
	t.Helper()
	o := testOptions(t)
	o.Window = time.Minute
	s := mustOpen(t, o)
	text := make([]byte, 6000)
	for round := range 6 {
		var points []Point
		for d := range 120 {
			for i := range 4 {
				for n := range text {
					text[n] = byte('a' + (n*n*7+d*31+i*17+round*13+n/97)%26)
				}
				size := 400
				if d%8 == 0 {
					size = len(text)
				}
				points = append(points, point("device-"+string(rune('a'+d%26))+string(rune('a'+d/26)), int64(round*60+i)*int64(time.Second), "s", string(text[:size])))
			}
		}
		apply(t, s, AppendPut(nil, points))
		if _, err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return look(t, s)
}

// inspected makes a pass of its own over a view, reading ahead or not.
func inspected(t *testing.T, v *View, ahead bool, pace func(p *pass, bytes int) error) (r Inspection, err error) {
	t.Helper()
	err = v.read("inspect", func(*reader) error {
		var p *pass
		var err error
		p, err = v.shard.startPass(v.pin.file, v.pin.meta, func(bytes int) error { return pace(p, bytes) }, v.alive(t.Context()))
		if err != nil {
			return err
		}
		defer p.close()
		p.disk.ahead = ahead
		r, err = p.finish(p.whole())
		return err
	})
	return r, err
}

// Reading ahead finds what reading does, and tells of each byte once.
func TestReadingAheadReadsTheSame(t *testing.T) {
	v := manyPages(t)
	var told [2]int
	var found [2]Inspection
	for i, ahead := range []bool{false, true} {
		var err error
		found[i], err = inspected(t, v, ahead, func(_ *pass, bytes int) error { told[i] += bytes; return nil })
		if err != nil || found[i].Structure != nil || len(found[i].Bad) > 0 {
			t.Fatal(err, found[i].Structure, found[i].Bad)
		}
		if int64(told[i]) != found[i].Bytes {
			t.Errorf("ahead %v: told of %d bytes, %d were read", ahead, told[i], found[i].Bytes)
		}
	}
	if digest.Root(found[0].Entries) != digest.Root(found[1].Entries) || len(found[0].Entries) < 50 {
		t.Errorf("%d and %d leaves", len(found[0].Entries), len(found[1].Entries))
	}
	if size := v.pin.tx.Size(); found[1].Bytes > size*5/4 {
		t.Errorf("%d bytes were read of a file of %d", found[1].Bytes, size)
	}
}

// While one group of pages is walked through, the next is read: whoever hashes does not wait for the disk. It is at most
// that: who is held back by a rate holds back the reading.
func TestTheNextPagesAreReadMeanwhile(t *testing.T) {
	v := manyPages(t)
	met, taken, most := 0, int64(0), int64(0)
	_, err := inspected(t, v, true, func(p *pass, bytes int) error {
		taken += int64(bytes)
		for end := time.Now().Add(50 * time.Millisecond); p.disk.bytes.Load() == taken && time.Now().Before(end); {
			time.Sleep(100 * time.Microsecond) // nothing may be on its way
		}
		ahead := p.disk.bytes.Load() - taken
		if ahead > 0 {
			met++
		}
		most = max(most, ahead)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if met < 5 {
		t.Errorf("only %d times was something read ahead", met)
	}
	if most > 3*(groupBytes+diskRunBytes) {
		t.Errorf("%d bytes were read ahead", most)
	}
}

// What ends in the middle leaves no reading behind.
func TestReadingAheadEndsWithItsPass(t *testing.T) {
	v := manyPages(t)
	enough, n := errors.New("enough"), 0
	for stop := range 12 {
		n = 0
		_, err := inspected(t, v, true, func(*pass, int) error {
			if n++; n > stop {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) {
			t.Fatalf("stopped after %d pieces: %v", stop, err)
		}
	}
}

// Whoever ends a pass waits for what is still being read beside it: file and memory are given back then.
func TestClosingWaitsForReadsThatAreUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d disk
		release := make(chan struct{})
		const reads = 3
		for range reads {
			d.begin(func() (r pagesRead) { // nobody takes what it gives
				<-release
				return r
			})
		}
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			d.close()
		}()
		for range reads {
			synctest.Wait()
			select {
			case <-closed:
				t.Fatal("closed while it is being read")
			default:
			}
			release <- struct{}{}
		}
		<-closed
	})
}

// A leaf by itself is all that is looked at, whichever it is: not even the next one, whose pages may be read along.
func TestRereadingALeafReadsNothingElse(t *testing.T) {
	v := manyPages(t)
	root, entries, err := v.Root(t.Context())
	if err != nil || len(entries) < 50 || root != digest.Root(entries) {
		t.Fatal(len(entries), err)
	}
	s := v.shard
	rereadOne := func(leaf digest.Leaf) (r Inspection) {
		t.Helper()
		err := v.read("reread", func(*reader) error {
			p, err := s.startPass(v.pin.file, v.pin.meta, nil, v.alive(t.Context()))
			if err != nil {
				return err
			}
			defer p.close()
			r, err = p.finish(p.leaves([]digest.Leaf{leaf}))
			return err
		})
		if err != nil || r.Structure != nil {
			t.Fatal(leaf, err, r.Structure)
		}
		return r
	}
	if r := rereadOne(digest.Leaf{Window: 1 << 40}); len(r.Entries)+r.Leaves+len(r.Bad) > 0 {
		t.Errorf("of a leaf that is not there: %+v", r)
	}
	for i, e := range entries {
		r := rereadOne(e.Leaf)
		if !slices.Equal(r.Entries, entries[i:i+1]) || r.Leaves != 1 || len(r.Bad) > 0 {
			t.Errorf("of %v: %+v", e.Leaf, r)
		}
		if size := v.pin.tx.Size(); r.Bytes > size/4 {
			t.Errorf("%d bytes of a file of %d were read for %v", r.Bytes, size, e.Leaf)
		}
	}
	k := len(entries) / 2
	series := seriesIn(t, v, entries[k+1].Leaf)
	flipBlock(t, s, series, entries[k+1].Window)
	v = look(t, s)
	if r := rereadOne(entries[k].Leaf); !slices.Equal(r.Entries, entries[k:k+1]) || len(r.Bad) > 0 || len(s.Distrusted()) > 0 {
		t.Errorf("of the leaf before a bad one: %+v", r)
	}
}

// seriesIn is the first series of a leaf.
func seriesIn(t *testing.T, v *View, leaf digest.Leaf) (series Series) {
	t.Helper()
	enough := errors.New("enough")
	err := v.ReadLeaf(t.Context(), leaf, func(key, _ []byte) (err error) {
		if series, err = ParseKey(key); err != nil {
			return err
		}
		return enough
	})
	if !errors.Is(err, enough) {
		t.Fatal(err)
	}
	return series
}
