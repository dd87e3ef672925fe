package raftmux

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// pending is a request of ours that waits for its answer. Whoever removes it
// from its session finishes it.
type pending struct {
	owner    *Transport // whose Close fails it; nil: a call
	answer   any        // the raft response to fill; nil: none
	from     []byte     // server id of the peer, for the response's header
	deadline time.Time  // the session's clock expires it; zero: the caller does
	pipe     *pipeline  // set: finish goes to the pipeline
	future   *appendFuture
	ticket   ticket // guarded by the sender's mutex

	payload []byte // a call's answer
	err     error
	done    chan struct{} // closed when payload and err are set; nil with pipe
}

func (p *pending) finish(err error) {
	if p.pipe != nil {
		p.pipe.finish(p.future, err)
		return
	}
	p.err = err
	close(p.done)
}

// session is one open stream to a peer: our requests, its answers.
type session struct {
	peer   *peer
	sender *sender
	cancel func() // ends the gRPC stream

	lastReading atomic.Uint64 // of the peer's clock: see echo.go

	mu      sync.Mutex // guards what follows
	pending map[uint64]*pending
	calls   int // of pending
	lastID  uint64
	err     error // why the session ended

	parts assembler // of the reader
}

func newSession(p *peer, cancel func()) *session {
	return &session{
		peer:    p,
		sender:  newSender(p.mux.timings, &p.mux.counters),
		cancel:  cancel,
		pending: map[uint64]*pending{},
	}
}

// scratch lends memory for encoding small frames.
var scratch = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// request sends a frame and registers p for its answer. With an error nothing
// was sent, and p is not finished.
func (s *session) request(p *pending, f outFrame, encode func(dst []byte, id uint64) []byte) (uint64, error) {
	id, err := s.register(p)
	if err != nil {
		return 0, err
	}
	buf := scratch.Get().(*[]byte)
	f.bytes = encode((*buf)[:0], id)
	err = s.sender.add(f, maxQueueBytes, &p.ticket)
	if len(f.bytes) <= maxFrame {
		*buf = f.bytes[:0]
		scratch.Put(buf)
	}
	if err == nil {
		return id, nil
	}
	if s.remove(id) == nil {
		return id, nil // finished meanwhile, with the reason
	}
	if errors.Is(err, ErrBusy) {
		return 0, fmt.Errorf("%w: queue to %s is full", err, s.peer.id)
	}
	return 0, unreachable(s.peer, err)
}

func (s *session) register(p *pending) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, unreachable(s.peer, s.err)
	}
	if p.owner == nil {
		if s.calls >= maxCalls {
			return 0, fmt.Errorf("%w: %d calls to %s wait", ErrBusy, s.calls, s.peer.id)
		}
		s.calls++
	}
	s.lastID++
	s.pending[s.lastID] = p
	return s.lastID, nil
}

// remove takes a request off the session: nil if it is not there any more.
func (s *session) remove(id uint64) *pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pending[id]
	if p != nil {
		s.forget(id, p)
	}
	return p
}

func (s *session) forget(id uint64, p *pending) {
	delete(s.pending, id)
	if p.owner == nil {
		s.calls--
	}
}

// drop takes all requests off that want says.
func (s *session) drop(want func(*pending) bool) []*pending {
	s.mu.Lock()
	defer s.mu.Unlock()
	var dropped []*pending
	for id, p := range s.pending {
		if want(p) {
			s.forget(id, p)
			dropped = append(dropped, p)
		}
	}
	return dropped
}

// extend sets another deadline for a request.
func (s *session) extend(p *pending, deadline time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.deadline = deadline
}

// fail ends the session: what was never handed to gRPC is unreachable, all
// else that waits is broken.
func (s *session) fail(err error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = err
	s.mu.Unlock()
	s.sender.close(err)
	s.cancel()
	for _, p := range s.drop(func(*pending) bool { return true }) {
		if s.sender.handed(&p.ticket) {
			p.finish(broken(s.peer, err))
		} else {
			p.finish(unreachable(s.peer, err))
		}
	}
}

// breakCalls ends the calls that have left; the session lives on. What is still
// queued waits on: it may be sent yet, or be unreachable when the session ends.
func (s *session) breakCalls(err error) {
	for _, p := range s.drop(func(p *pending) bool { return p.owner == nil && s.sender.handed(&p.ticket) }) {
		p.finish(broken(s.peer, err))
	}
}

// expire finishes what is past its deadline.
func (s *session) expire(now time.Time) {
	expired := s.drop(func(p *pending) bool { return !p.deadline.IsZero() && now.After(p.deadline) })
	for _, p := range expired {
		p.finish(broken(s.peer, errDeadline))
	}
}

var errDeadline = errors.New("deadline passed")

func unreachable(p *peer, why error) error {
	return fmt.Errorf("%w: %s: %w", ErrUnreachable, p.id, why)
}

// broken hides a reason that would promise that nothing was executed.
func broken(p *peer, why error) error {
	if errors.Is(why, ErrClosed) || errors.Is(why, ErrUnreachable) || errors.Is(why, ErrBusy) {
		return fmt.Errorf("%w: %s: %s", ErrBroken, p.id, why.Error())
	}
	return fmt.Errorf("%w: %s: %w", ErrBroken, p.id, why)
}

// read takes answers until the stream ends.
func (s *session) read(st stream) error {
	var in inMessage
	for {
		if err := st.RecvMsg(&in); err != nil {
			return err
		}
		s.peer.heardNow(len(in.bytes()))
		err := eachFrame(in.bytes(), &s.peer.mux.counters, s.answer)
		in.free()
		if err != nil {
			return err
		}
	}
}

// eachFrame walks over a message. The frames are only lent.
func eachFrame(message []byte, c *counters, handle func(kind byte, body []byte, owned bool) error) error {
	for len(message) > 0 {
		kind, body, rest, ok := nextFrame(message)
		if !ok {
			return errMalformed
		}
		c.framesIn.Add(1)
		if err := handle(kind, body, false); err != nil {
			return err
		}
		message = rest
	}
	return nil
}

// pong notes the peer's clock.
func (s *session) pong(body []byte) error {
	f := &fields{rest: body}
	s.lastReading.Store(f.uvarint())
	return f.err()
}

// answer finishes the request that a frame answers.
func (s *session) answer(kind byte, body []byte, owned bool) error {
	switch {
	case kind == kindPong:
		return s.pong(body)
	case kind == kindFragment && !owned:
		frame, err := s.parts.add(body)
		if err != nil || frame == nil {
			return err
		}
		return s.answer(frame[0], frame[1:], true)
	case kind < kindAppended || kind > kindFailed:
		return fmt.Errorf("%w: kind %d is no answer", errMalformed, kind)
	}
	f := &fields{rest: body}
	id := f.uvarint()
	if f.bad {
		return errMalformed
	}
	p := s.remove(id)
	if p == nil {
		return nil // expired or cancelled
	}
	p.finish(p.take(kind, f, owned))
	return nil
}

// take reads an answer's fields into the pending request.
func (p *pending) take(kind byte, f *fields, owned bool) error {
	switch {
	case kind == kindFailed:
		code := Code(f.byte())
		return &RemoteError{Code: code, Text: cleanText(string(f.tail()))}
	case p.owner != nil:
		return readRaftAnswer(kind, f, p.answer, p.from)
	case kind != kindCalled:
		return errMalformed
	case owned:
		p.payload = f.tail()
	default:
		p.payload = slices.Clone(f.tail())
	}
	return nil
}
