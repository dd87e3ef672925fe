package raftmux

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"google.golang.org/grpc/mem"
)

// numbered is a Raft frame of a group that says which of its frames it is.
func numbered(group, number uint32, size int) outFrame {
	b := make([]byte, max(size, 9))
	b[0] = kindAppend
	binary.LittleEndian.PutUint32(b[1:], group)
	binary.LittleEndian.PutUint32(b[5:], number)
	return outFrame{bytes: b, class: classNormal, lane: laneRaft, group: group}
}

// orderCheck reads messages and fails when a group's frames do not arrive in order.
type orderCheck struct {
	t       *testing.T
	parts   assembler
	arrived map[uint32]uint32 // group -> frames
}

func (o *orderCheck) message(m *outMessage) {
	o.t.Helper()
	if n := m.buffers.Len(); n == 0 || n > maxMessage {
		o.t.Fatalf("message of %d bytes", n)
	}
	var handle func(kind byte, body []byte, owned bool) error
	handle = func(kind byte, body []byte, owned bool) error {
		if kind == kindFragment && !owned {
			frame, err := o.parts.add(body)
			if err != nil || frame == nil {
				return err
			}
			return handle(frame[0], frame[1:], true)
		}
		if kind != kindAppend {
			return nil
		}
		group, number := binary.LittleEndian.Uint32(body), binary.LittleEndian.Uint32(body[4:])
		if number != o.arrived[group] {
			o.t.Fatalf("frame %d of group %d arrives when %d have", number, group, o.arrived[group])
		}
		o.arrived[group]++
		return nil
	}
	if err := eachFrame(m.buffers.Materialize(), &counters{}, handle); err != nil {
		o.t.Fatal(err)
	}
	mem.BufferSlice(m.buffers).Free()
}

// A full segment waits, a small frame of group 1 is in the next one, and then
// comes one of group 1 that fits into a fragment.
func TestLargeFrameDoesNotOvertakeASmallOneOfItsGroup(t *testing.T) {
	for name, large := range map[string]int{"OneFragment": 30 << 10, "ManyFragments": 300 << 10} {
		t.Run(name, func(t *testing.T) {
			s := newSender(DefaultTimings(), &counters{})
			o := orderCheck{t: t, arrived: map[uint32]uint32{}}
			for i := range uint32(30) {
				s.add(numbered(7, i, 10<<10), maxQueueBytes, nil)
			}
			s.add(numbered(1, 0, 12<<10), maxQueueBytes, nil)
			s.add(numbered(1, 1, large), maxQueueBytes, nil)
			s.add(numbered(1, 2, 100), maxQueueBytes, nil)
			for o.arrived[1] < 3 {
				m, wait, err := s.take(time.Now())
				if err != nil || m == nil {
					t.Fatalf("%v, wait %v", err, wait)
				}
				o.message(m)
			}
		})
	}
}

// Any mix of sizes, groups and moments at which messages leave; nothing is
// left behind, and nothing waits when nothing else does.
func TestRaftFramesOfAGroupArriveInOrder(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 7))
		s := newSender(DefaultTimings(), &counters{})
		o := orderCheck{t: t, arrived: map[uint32]uint32{}}
		sent := map[uint32]uint32{}
		for range 10 {
			for range 1 + r.IntN(30) {
				group := r.Uint32N(4)
				size := 1 + r.IntN(12<<10)
				switch r.IntN(20) {
				case 0:
					size += maxFrame
				case 1:
					size += r.IntN(3) * fragmentSize
				}
				if err := s.add(numbered(group, sent[group], size), maxQueueBytes, nil); err != nil {
					t.Fatal(err)
				}
				sent[group]++
			}
			for range r.IntN(20) {
				if m, _, _ := s.take(time.Now()); m != nil {
					o.message(m)
				}
			}
		}
		for s.queued > 0 {
			m, _, err := s.take(time.Now().Add(time.Hour))
			if err != nil || m == nil {
				t.Fatalf("seed %d: %d bytes stay: %v", seed, s.queued, err)
			}
			o.message(m)
		}
		for group, n := range sent {
			if o.arrived[group] != n {
				t.Fatalf("seed %d: %d of %d frames of group %d arrived", seed, o.arrived[group], n, group)
			}
		}
	}
}
