package storage

import (
	"errors"
	"testing"
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
	if most > 3*(aheadBytes+diskRunBytes) {
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

// A leaf by itself costs about its own pages, not those of a thousand others.
func TestRereadingALeafReadsLittleElse(t *testing.T) {
	v := manyPages(t)
	leaves, err := v.Leaves()
	if err != nil {
		t.Fatal(err)
	}
	states, err := v.States(t.Context(), true, leaves[len(leaves)/2:][:1])
	if err != nil || len(states) != 1 || states[0].Err != nil {
		t.Fatal(states, err)
	}
	var read int64
	err = v.read("reread", func(*reader) error {
		p, err := v.shard.startPass(v.pin.file, v.pin.meta, nil, v.alive(t.Context()))
		if err != nil {
			return err
		}
		defer p.close()
		r, err := p.finish(p.leaves(leaves[len(leaves)/2:][:1]))
		read = r.Bytes
		return err
	})
	if size := v.pin.tx.Size(); err != nil || read > size/4 {
		t.Errorf("%d bytes of a file of %d were read for one of %d leaves: %v", read, size, len(leaves), err)
	}
}
