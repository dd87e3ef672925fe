package raftmux

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/mem"
)

// ticket finds out whether a frame was handed to gRPC.
type ticket struct {
	queued  bool
	segment uint64     // of a small frame
	large   *laneFrame // of a large one
}

// sender gathers the frames of one direction of one stream into messages. Any
// goroutine may add frames; one, in run, hands messages to gRPC.
type sender struct {
	counters *counters
	kick     chan struct{} // wakes run; capacity 1

	// mu guards what follows. The Raft frames of one group leave in the order in
	// which they were added, a large one with its last piece; only heartbeats may
	// overtake large ones. What is small and comes later waits behind them in
	// laneRaft, and the last piece waits for the segments of before.
	mu      sync.Mutex
	pace    pacer
	full    []mem.Buffer // segments that wait whole
	current *[]byte      // segment that is being filled; nil: none
	segment uint64       // number of the segment that is being filled
	taken   uint64       // segments below were handed to gRPC
	lanes   [laneCount][]*laneFrame
	inLane  map[uint32]int // group -> its frames in laneRaft
	queued  int            // bytes that wait
	due     time.Time      // when current should leave
	wake    time.Time      // when run looks next by itself; zero: when kicked
	urgent  int            // urgent calls that wait for their answer
	closed  error
	room    chan struct{} // closed when there is room again; nil: nobody waits
}

// longAgo is a due time that has passed (and is not the zero "nothing waits").
var longAgo = time.Time{}.Add(1)

// counters count what a Mux moves.
type counters struct {
	messagesOut, framesOut, bytesOut atomic.Uint64
	messagesIn, framesIn, bytesIn    atomic.Uint64
}

func newSender(t Timings, c *counters) *sender {
	return &sender{
		counters: c,
		kick:     make(chan struct{}, 1),
		pace:     pacer{gather: t.Gather, lazy: t.Lazy},
		inLane:   map[uint32]int{},
	}
}

// outFrame is a frame to be sent.
type outFrame struct {
	bytes     []byte // kind and body; a large frame's memory becomes the sender's
	class     class
	lane      int
	group     uint32 // laneRaft only: keeps the group's order
	overtakes bool   // a heartbeat, which has no place in that order
}

// add queues a frame. limit is the most bytes that may wait before it. An
// error (ErrBusy, or why the sender closed) means that it was not queued.
func (s *sender) add(f outFrame, limit int, t *ticket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed != nil {
		return s.closed
	}
	if s.queued > 0 && s.queued+len(f.bytes) > limit {
		return ErrBusy
	}
	s.counters.framesOut.Add(1)
	ordered := f.lane == laneRaft && !f.overtakes && s.inLane[f.group] > 0
	if len(f.bytes) > maxFrame || ordered {
		s.addLarge(f, t)
		s.wakeRun()
		return nil
	}
	due := s.pace.due(time.Now(), f.class)
	if s.urgent > 0 {
		due = longAgo
	}
	whole := s.addSmall(f.bytes, t)
	if s.due.IsZero() || due.Before(s.due) {
		s.due = due
	}
	if whole || s.wake.IsZero() || s.due.Before(s.wake) {
		s.wakeRun()
	}
	return nil
}

func (s *sender) addLarge(f outFrame, t *ticket) {
	s.queued += len(f.bytes)
	l := &laneFrame{frame: f.bytes, group: f.group}
	if len(f.bytes) <= maxFrame {
		l.frame = append([]byte(nil), f.bytes...) // a small one behind a large one: only lent
	}
	if f.lane == laneRaft {
		s.inLane[f.group]++
		l.after = s.segment
		if s.current != nil {
			l.after++
		}
	}
	s.lanes[f.lane] = append(s.lanes[f.lane], l)
	if t != nil {
		*t = ticket{queued: true, large: l}
	}
}

// addSmall copies the frame into the current segment and reports whether that
// filled one.
func (s *sender) addSmall(frame []byte, t *ticket) (whole bool) {
	const lengthPrefix = 5
	if s.current != nil && len(*s.current)+len(frame)+lengthPrefix > segmentSize {
		s.closeSegment()
		whole = true
	}
	if s.current == nil {
		s.current = mem.DefaultBufferPool().Get(segmentSize)
		*s.current = (*s.current)[:0]
	}
	before := len(*s.current)
	*s.current = appendFrame(*s.current, frame)
	s.queued += len(*s.current) - before
	if t != nil {
		*t = ticket{queued: true, segment: s.segment}
	}
	return whole
}

func (s *sender) closeSegment() {
	s.full = append(s.full, mem.NewBuffer(s.current, mem.DefaultBufferPool()))
	s.current = nil
	s.segment++
}

// wakeRun is called with mu held.
func (s *sender) wakeRun() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// setUrgent counts urgent calls up or down; while there is one, nothing waits.
func (s *sender) setUrgent(delta int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.urgent += delta
	if s.urgent > 0 && s.current != nil {
		s.due = longAgo
		s.wakeRun()
	}
}

// handed reports whether the frame, or its last piece, was given to gRPC: if
// not, the peer certainly did not act on it.
func (s *sender) handed(t *ticket) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !t.queued:
		return false
	case t.large != nil:
		return t.large.sent == len(t.large.frame)
	default:
		return t.segment < s.taken
	}
}

// noWait is a channel that is closed.
var noWait = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// waitRoom gives a channel that is closed when adding is worth another try.
func (s *sender) waitRoom() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed != nil || s.queued == 0 {
		return noWait
	}
	if s.room == nil {
		s.room = make(chan struct{}) // what waits still has to leave, and take signals
	}
	return s.room
}

// close ends run and refuses further frames with err.
func (s *sender) close(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed != nil {
		return
	}
	s.closed = err
	s.signalRoom()
	s.wakeRun()
}

func (s *sender) signalRoom() {
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// run hands messages to send until close or an error of send.
func (s *sender) run(send func(*outMessage) error) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		message, wait, err := s.take(time.Now())
		switch {
		case err != nil:
			return err
		case message != nil:
			if err := send(message); err != nil {
				return err
			}
			continue
		case wait == 0:
			<-s.kick
		default:
			timer.Reset(wait)
			select {
			case <-s.kick:
			case <-timer.C:
			}
		}
		// Let whoever else is about to add a frame do so: a busy machine
		// batches by itself.
		runtime.Gosched()
	}
}

// take builds the next message, or says how long to wait (0: until kicked).
func (s *sender) take(now time.Time) (*outMessage, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed != nil {
		return nil, 0, s.closed
	}
	large := false
	for _, lane := range s.lanes {
		large = large || len(lane) > 0
	}
	s.wake = time.Time{}
	if !large && len(s.full) == 0 {
		if s.current == nil {
			return nil, 0, nil
		}
		if s.due.After(now) {
			s.wake = s.due
			return nil, s.due.Sub(now), nil
		}
	}
	s.wake = now // run is awake: adding a frame need not wake it
	message := &outMessage{}
	if len(s.full) == 0 && s.current != nil {
		s.closeSegment()
		s.due = time.Time{}
	}
	if len(s.full) > 0 {
		s.takeSegment(message)
	}
	for lane := range s.lanes {
		if len(s.lanes[lane]) > 0 && !s.tooEarly(s.lanes[lane][0]) {
			s.takeFragment(message, lane)
		}
	}
	s.counters.messagesOut.Add(1)
	s.counters.bytesOut.Add(uint64(message.buffers.Len()))
	if s.queued < maxQueueBytes {
		s.signalRoom()
	}
	return message, 0, nil
}

func (s *sender) takeSegment(message *outMessage) {
	segment := s.full[0]
	s.full[0] = nil
	s.full = s.full[1:]
	s.taken++
	s.queued -= segment.Len()
	message.buffers = append(message.buffers, segment)
}

// tooEarly reports whether the next piece would complete a frame while small
// ones from before it still wait. A segment leaves then, so take never comes
// back with nothing.
func (s *sender) tooEarly(l *laneFrame) bool {
	return l.after > s.taken && len(l.frame)-l.sent <= fragmentSize
}

func (s *sender) takeFragment(message *outMessage, lane int) {
	l := s.lanes[lane][0]
	header, piece, last := l.fragment(lane)
	message.buffers = append(message.buffers, mem.SliceBuffer(header), mem.SliceBuffer(piece))
	s.queued -= len(piece)
	if !last {
		return
	}
	s.lanes[lane][0] = nil
	s.lanes[lane] = s.lanes[lane][1:]
	if lane == laneRaft {
		if s.inLane[l.group]--; s.inLane[l.group] <= 0 {
			delete(s.inLane, l.group)
		}
	}
}
