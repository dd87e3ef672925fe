package raftmux

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/mem"
)

func TestPacer(t *testing.T) {
	t0 := time.Unix(1000, 0)
	ms := time.Millisecond
	type frame struct {
		at    time.Duration
		class class
		wait  time.Duration
	}
	for name, frames := range map[string][]frame{
		"lonely frames leave at once":     {{0, classNormal, 0}, {5 * ms, classNormal, 0}, {9 * ms, classNormal, 0}},
		"heartbeats wait 20 ms":           {{0, classLazy, 20 * ms}, {ms, classLazy, 20 * ms}},
		"answers to heartbeats wait 1 ms": {{0, classSoon, ms}},
		"a few at a time leave at once":   {{0, classNormal, 0}, {0, classNormal, 0}, {0, classNormal, 0}, {0, classNormal, 0}},
		"load waits 1 ms": {{0, classNormal, 0}, {0, classNormal, 0}, {0, classNormal, 0}, {0, classNormal, 0}, {0, classNormal, ms},
			{ms, classNormal, ms}, {ms * 3 / 2, classNormal, ms}, {2 * ms, classNormal, 0}},
		"load ends with a pause": {{0, classNormal, 0}, {0, classNormal, 0}, {0, classNormal, 0}, {0, classNormal, 0}, {0, classNormal, ms}, {3 * ms, classNormal, 0}},
		"urgent never waits":     {{0, classNormal, 0}, {0, classNormal, 0}, {0, classNormal, 0}, {0, classNormal, 0}, {0, classNow, 0}},
	} {
		p := pacer{gather: ms, lazy: 20 * ms}
		for i, f := range frames {
			now := t0.Add(f.at)
			if got := p.due(now, f.class).Sub(now); got != f.wait {
				t.Errorf("%s: frame %d waits %v, not %v", name, i, got, f.wait)
			}
		}
	}
}

func small(b byte) outFrame {
	return outFrame{bytes: []byte{kindPing, b}, class: classLazy, lane: laneCall}
}

func framesOf(t *testing.T, m *outMessage) (kinds []byte) {
	t.Helper()
	b := m.buffers.Materialize()
	for len(b) > 0 {
		kind, _, rest, ok := nextFrame(b)
		if !ok {
			t.Fatal("not frames")
		}
		kinds = append(kinds, kind)
		b = rest
	}
	return kinds
}

func TestSenderLetsSmallFramesPassLargeOnes(t *testing.T) {
	s := newSender(DefaultTimings(), &counters{})
	var large ticket
	if err := s.add(outFrame{bytes: make([]byte, 1<<20), lane: laneCall}, maxQueueBytes, &large); err != nil {
		t.Fatal(err)
	}
	var first ticket
	for round := 0; ; round++ {
		s.add(small(1), maxQueueBytes, &first)
		m, _, err := s.take(time.Now())
		if err != nil || m == nil {
			t.Fatalf("round %d: %v %v", round, m, err)
		}
		if n := m.buffers.Len(); n > maxMessage {
			t.Fatalf("message of %d bytes", n)
		}
		kinds := framesOf(t, m)
		if kinds[0] != kindPing || kinds[1] != kindFragment || len(kinds) != 2 || !s.handed(&first) {
			t.Fatalf("round %d: kinds %v", round, kinds)
		}
		mem.BufferSlice(m.buffers).Free()
		if last := round == 1<<20/fragmentSize-1; s.handed(&large) != last {
			t.Fatalf("round %d: handed is %v", round, !last)
		} else if last {
			break
		}
	}
	if s.queued != 0 {
		t.Errorf("%d bytes still queued", s.queued)
	}
}

func TestSenderIsBounded(t *testing.T) {
	s := newSender(DefaultTimings(), &counters{})
	var err error
	n := 0
	for ; err == nil; n++ {
		err = s.add(outFrame{bytes: make([]byte, 1<<20), lane: laneCall}, maxQueueBytes, nil)
	}
	if !errors.Is(err, ErrBusy) || n != maxQueueBytes>>20+1 {
		t.Fatalf("frame %d: %v", n, err)
	}
	room := s.waitRoom()
	select {
	case <-room:
		t.Fatal("room before anything left")
	default:
	}
	s.take(time.Now())
	<-room
	// Small frames count the same.
	small := outFrame{bytes: make([]byte, maxFrame), lane: laneCall, class: classLazy}
	for err = nil; err == nil; {
		err = s.add(small, maxQueueBytes, nil)
	}
	if s.queued > maxQueueBytes+maxFrame {
		t.Errorf("%d bytes queued", s.queued)
	}
	s.close(ErrClosed)
	if err := s.add(small, maxQueueBytes, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	<-s.waitRoom()
}
