package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/rpc/api"
)

// streams keeps the one stream of a connection for one kind of calls, and opens
// a new one after it broke. Messages hold answers A to calls C, in any order.
type streams[C, A, M any] struct {
	kind streamKind[C, A, M]

	mu      sync.Mutex
	current *stream[C, A, M] // guarded by mu; nil before the first call
	closed  bool             // guarded by mu
	owners  sync.WaitGroup   // one a stream
}

// streamKind is what a stream must know of its messages.
type streamKind[C, A, M any] struct {
	open    func(context.Context) (grpc.BidiStreamingClient[C, M], error)
	name    func(call *C, id uint64)
	id      func(*A) uint64
	answers func(*M) []*A
}

// stream is one stream: one goroutine opens it and receives, one sends. Callers
// do neither, so that a node which takes nothing costs them no more than their
// own time.
type stream[C, A, M any] struct {
	kind   *streamKind[C, A, M]
	cancel context.CancelFunc
	opened chan struct{}                  // closed when it is open or broken
	grpc   grpc.BidiStreamingClient[C, M] // set before opened is closed; nil: it did not open

	outbox chan outgoing[C] // to the goroutine that sends
	over   <-chan struct{}  // closed when nothing is sent any more

	// mu guards what follows. Every id of waiting gets exactly one answer, or
	// the stream's end.
	mu      sync.Mutex
	waiting map[uint64]chan *A // nil is an answer too: the call was not sent
	nextID  uint64
	err     error // set once the stream has broken: nothing is sent any more
}

// outgoing is a call on its way to the connection.
type outgoing[C any] struct {
	id   uint64
	call *C
}

// lostCall is a call that got no answer.
type lostCall struct {
	sent  bool  // it may have reached the node
	cause error // of the caller's context, or what broke the stream
}

func (l *lostCall) Error() string {
	if l.sent {
		return fmt.Sprintf("no answer: %v", l.cause)
	}
	return fmt.Sprintf("not sent: %v", l.cause)
}

func (l *lostCall) Unwrap() error { return l.cause }

// errBroken: the stream took no more calls.
var errBroken = errors.New("the stream is broken")

// errSilent: the node did not answer while there was patience.
var errSilent = errors.New("the node is silent")

var errClosed = api.E(api.Cancelled, "", "the client is closed")

// get gives a stream that is open and not known to be broken.
func (w *streams[C, A, M]) get(ctx context.Context) (*stream[C, A, M], error) {
	s, err := w.newest()
	if err != nil {
		return nil, err
	}
	select {
	case <-s.opened:
	case <-ctx.Done():
		return nil, &lostCall{cause: ctx.Err()}
	}
	if s.grpc == nil {
		return nil, errorOf(s.broken(), false)
	}
	return s, nil
}

// ready reports whether a call would find an open stream now.
func (w *streams[C, A, M]) ready() bool {
	w.mu.Lock()
	s := w.current
	w.mu.Unlock()
	if s == nil {
		return false
	}
	select {
	case <-s.opened:
		return s.broken() == nil
	default:
		return false
	}
}

// newest gives the current stream, or begins to open another.
func (w *streams[C, A, M]) newest() (*stream[C, A, M], error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errClosed
	}
	if w.current == nil || w.current.broken() != nil {
		ctx, cancel := context.WithCancel(context.Background()) // the stream's life, not a call's
		s := &stream[C, A, M]{kind: &w.kind, cancel: cancel, opened: make(chan struct{}), outbox: make(chan outgoing[C]), over: ctx.Done(), waiting: map[uint64]chan *A{}}
		w.current = s
		w.owners.Go(func() { s.live(ctx) })
	}
	return w.current, nil
}

func (w *streams[C, A, M]) close() {
	w.mu.Lock()
	w.closed = true
	if w.current != nil {
		w.current.cancel()
	}
	w.mu.Unlock()
	w.owners.Wait()
}

// do sends one call and waits for its answer until ctx or patience (nil: none)
// ends. A call without an answer is a *lostCall.
func (w *streams[C, A, M]) do(ctx context.Context, m *C, patience <-chan time.Time) (*A, error) {
	s, err := w.get(ctx)
	if err != nil {
		return nil, err
	}
	answer := make(chan *A, 1)
	id, err := s.expect(answer)
	if err != nil {
		return nil, &lostCall{cause: err}
	}
	s.kind.name(m, id)
	select {
	case s.outbox <- outgoing[C]{id, m}:
	case <-s.over:
		s.forget(id)
		return nil, &lostCall{cause: errBroken}
	case <-ctx.Done():
		s.forget(id)
		return nil, &lostCall{cause: ctx.Err()}
	case <-patience:
		s.forget(id)
		return nil, &lostCall{cause: errSilent}
	}
	select {
	case a, ok := <-answer:
		switch {
		case !ok:
			return nil, &lostCall{sent: true, cause: s.broken()}
		case a == nil:
			return nil, &lostCall{cause: errBroken}
		}
		return a, nil
	case <-ctx.Done():
		s.forget(id)
		return nil, &lostCall{sent: true, cause: ctx.Err()}
	case <-patience:
		s.forget(id)
		return nil, &lostCall{sent: true, cause: errSilent}
	}
}

func (s *stream[C, A, M]) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// expect registers a call under a new id.
func (s *stream[C, A, M]) expect(answer chan *A) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	s.nextID++
	s.waiting[s.nextID] = answer
	return s.nextID, nil
}

func (s *stream[C, A, M]) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, id)
}

// send sends calls until the stream is over.
func (s *stream[C, A, M]) send() {
	for {
		select {
		case m := <-s.outbox:
			if err := s.grpc.Send(m.call); err != nil {
				s.refused(m.id)
				s.cancel()
				return
			}
		case <-s.over:
			return
		}
	}
}

// refused ends a call that Send refused: it was not handed to the connection.
func (s *stream[C, A, M]) refused(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch, ok := s.waiting[id]; ok {
		delete(s.waiting, id)
		ch <- nil // has room for one
	}
}

// live opens the stream and hands answers out until it ends.
func (s *stream[C, A, M]) live(ctx context.Context) {
	defer s.cancel()
	opened, err := s.kind.open(ctx)
	if err != nil {
		s.fail(err)
		close(s.opened)
		return
	}
	s.grpc = opened
	close(s.opened)
	var sender sync.WaitGroup
	defer sender.Wait()
	defer s.cancel()
	sender.Go(s.send)
	for {
		m, err := opened.Recv()
		if err != nil {
			s.fail(err)
			return
		}
		s.deliver(s.kind.answers(m))
	}
}

func (s *stream[C, A, M]) deliver(answers []*A) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range answers {
		id := s.kind.id(a)
		if ch, ok := s.waiting[id]; ok {
			delete(s.waiting, id)
			ch <- a // has room for one
		}
	}
}

func (s *stream[C, A, M]) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	for id, ch := range s.waiting {
		delete(s.waiting, id)
		close(ch)
	}
}
