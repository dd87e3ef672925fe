package client

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

// writeStreams keeps the one stream of a connection, and opens a new one
// after it broke.
type writeStreams struct {
	open func(context.Context) (grpc.BidiStreamingClient[pb.WriteRequest, pb.WriteResults], error)

	mu      sync.Mutex
	current *writeStream // guarded by mu; nil before the first write
	closed  bool         // guarded by mu
	readers sync.WaitGroup
}

// writeStream is one stream: callers send, one goroutine receives.
type writeStream struct {
	stream grpc.BidiStreamingClient[pb.WriteRequest, pb.WriteResults]
	cancel context.CancelFunc

	sendMu sync.Mutex // orders Send: a stream takes one sender at a time

	// mu guards what follows. Every id of waiting gets exactly one result, or
	// the stream's end.
	mu      sync.Mutex
	waiting map[uint64]chan *pb.WriteResult
	nextID  uint64
	err     error // set once the stream has broken: nothing is sent any more
}

func (n *conn) openStream(ctx context.Context) (grpc.BidiStreamingClient[pb.WriteRequest, pb.WriteResults], error) {
	return n.api.WriteStream(ctx)
}

var errClosed = api.E(api.Cancelled, "", "the client is closed")

// get gives a stream that is not known to be broken.
func (w *writeStreams) get() (*writeStream, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, errClosed
	}
	if s := w.current; s != nil && s.broken() == nil {
		return s, nil
	}
	ctx, cancel := context.WithCancel(context.Background()) // the stream's life, not a call's
	stream, err := w.open(ctx)
	if err != nil {
		cancel()
		return nil, errorOf(err, false)
	}
	s := &writeStream{stream: stream, cancel: cancel, waiting: map[uint64]chan *pb.WriteResult{}}
	w.current = s
	w.readers.Go(s.receive)
	return s, nil
}

func (w *writeStreams) close() {
	w.mu.Lock()
	w.closed = true
	if w.current != nil {
		w.current.cancel()
	}
	w.mu.Unlock()
	w.readers.Wait()
}

// do sends one write and waits for its result.
func (w *writeStreams) do(ctx context.Context, m *pb.WriteRequest) (*pb.WriteResult, error) {
	s, err := w.get()
	if err != nil {
		return nil, err
	}
	result := make(chan *pb.WriteResult, 1)
	if m.Id, err = s.expect(result); err != nil {
		return nil, err
	}
	if err := s.send(m); err != nil {
		// What Send refuses was not handed to the connection.
		s.forget(m.Id)
		s.cancel()
		return nil, api.E(api.NotApplied, "retry", "the connection broke before the write was sent").Because(err)
	}
	select {
	case r, ok := <-result:
		if !ok {
			return nil, api.E(api.OutcomeUnknown, "read back, or repeat with the same timestamps", "the connection broke while the write was on its way").Because(s.broken())
		}
		return r, nil
	case <-ctx.Done():
		s.forget(m.Id)
		return nil, api.E(api.OutcomeUnknown, "read back, or repeat with the same timestamps", "no answer in time").Because(ctx.Err())
	}
}

func (s *writeStream) broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// expect registers a write under a new id.
func (s *writeStream) expect(result chan *pb.WriteResult) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, api.E(api.NotApplied, "retry", "the connection broke before the write was sent").Because(s.err)
	}
	s.nextID++
	s.waiting[s.nextID] = result
	return s.nextID, nil
}

func (s *writeStream) forget(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, id)
}

func (s *writeStream) send(m *pb.WriteRequest) error {
	s.sendMu.Lock()
	defer s.sendMu.Unlock()
	return s.stream.Send(m)
}

// receive hands results out until the stream ends.
func (s *writeStream) receive() {
	defer s.cancel()
	for {
		m, err := s.stream.Recv()
		if err != nil {
			s.fail(err)
			return
		}
		s.deliver(m.GetResults())
	}
}

func (s *writeStream) deliver(results []*pb.WriteResult) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range results {
		if ch, ok := s.waiting[r.GetId()]; ok {
			delete(s.waiting, r.GetId())
			ch <- r // has room for one
		}
	}
}

func (s *writeStream) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err = err; err == nil {
		s.err = errors.New("stream ended")
	}
	for id, ch := range s.waiting {
		delete(s.waiting, id)
		close(ch)
	}
}
