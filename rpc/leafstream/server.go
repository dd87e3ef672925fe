package leafstream

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	"github.com/flotilla-db/flotilla/snapshot/transfer"
)

// sendDeadline is how long the other end may take no message before its answer is ended: it holds a cut pinned, and
// one of the places of transfer.MaxStreams.
const sendDeadline = 60 * time.Second

// Server answers the calls of other nodes.
type Server struct {
	leaves *transfer.Server

	mu         sync.Mutex // guards closed, and that answers only begin while it is false
	closed     bool
	closing    chan struct{} // closed by Close
	goroutines sync.WaitGroup
}

// NewServer makes the service.
func NewServer(leaves *transfer.Server) *Server {
	return &Server{leaves: leaves, closing: make(chan struct{})}
}

// Register adds the service to a gRPC server, before that serves.
func (s *Server) Register(r grpc.ServiceRegistrar) {
	desc := fetchDesc
	desc.Handler = func(impl any, st grpc.ServerStream) error { return impl.(fetcher).fetch(st) }
	r.RegisterService(&grpc.ServiceDesc{
		ServiceName: serviceName,
		HandlerType: (*fetcher)(nil),
		Streams:     []grpc.StreamDesc{desc},
	}, s)
}

// Answers counts the answers that were begun.
func (s *Server) Answers() uint64 { return s.leaves.Answers() }

// Close ends the answers that are under way and waits for them; further calls are refused.
func (s *Server) Close() error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.closing)
	}
	s.mu.Unlock()
	s.goroutines.Wait()
	return nil
}

// fetch is one call. The handler's goroutine only waits: when it returns, gRPC ends the stream, and with it the Send
// that the answer may be blocked in.
func (s *Server) fetch(st grpc.ServerStream) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return status.Error(codes.Unavailable, "this node is stopping")
	}
	ctx, cancel := context.WithCancel(st.Context())
	defer cancel()
	stuck := make(chan struct{}, 1)
	ended := make(chan error, 1)
	s.goroutines.Go(func() { ended <- s.answer(ctx, st, stuck) }) // added under the lock: Close has not begun to wait
	s.mu.Unlock()
	select {
	case err := <-ended:
		return statusOf(err)
	case <-stuck:
		return status.Errorf(codes.DeadlineExceeded, "no message was taken for %v", sendDeadline)
	case <-s.closing:
		return status.Error(codes.Unavailable, "this node is stopping")
	}
}

// answer reads the request and sends the leaves. stuck, of capacity 1, hears when a message is not taken in time.
func (s *Server) answer(ctx context.Context, st grpc.ServerStream, stuck chan struct{}) error {
	var m inMessage
	if err := st.RecvMsg(&m); err != nil {
		return err
	}
	request := m.buffers.MaterializeToBuffer(mem.DefaultBufferPool())
	m.free()
	r, err := transfer.ParseRequest(request.ReadOnlyData())
	request.Free()
	if err != nil {
		return err
	}
	deadline := time.AfterFunc(sendDeadline, func() {
		select {
		case stuck <- struct{}{}:
		default:
		}
	})
	deadline.Stop()
	defer deadline.Stop()
	return s.leaves.Serve(ctx, r, func(m transfer.Message) error {
		deadline.Reset(sendDeadline)
		err := st.SendMsg(&outMessage{slices: append([][]byte{m.Head}, m.Payload...), sent: m.Sent})
		deadline.Stop()
		return err
	})
}
