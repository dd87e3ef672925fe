package server

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
)

const (
	// maxInFlight bounds the calls of one stream that are on their way. The
	// next one is not read from the connection until one has ended.
	maxInFlight = 1024
	// maxIdle bounds the goroutines of one stream that wait for a call.
	maxIdle = 32
	// maxAnswers bounds the answers that share one message, maxSharedBytes what
	// they hold before the last of them is added.
	maxAnswers     = 256
	maxSharedBytes = 64 << 10
)

// calls carries out the calls C of one stream side by side, each by itself. The
// answers A leave in the order in which they are ready; those that are ready
// together share a message M.
type calls[C, A, M any] struct {
	stream grpc.BidiStreamingServer[C, M]
	work   *work                                             // counts each call until its answer is sent
	carry  func(context.Context, *C) (message *A, bytes int) // the answer of a call; its bytes, where they are counted
	sent   func(bytes int)                                   // answers of so many bytes are sent, or never will be
	wrap   func([]*A) *M                                     // keeps the slice

	slots   chan struct{}  // one a call whose answer was not sent yet
	ready   chan answer[A] // room for the answers of all slots
	next    chan *C        // to a goroutine that waits
	idle    atomic.Int32   // goroutines that wait, or are about to
	running sync.WaitGroup
	sendErr error // written by send only, read after it has returned
}

type answer[A any] struct {
	message *A
	bytes   int
}

// serve returns when the client has ended the stream and all its calls are
// answered, or when the stream is broken and its calls have ended.
func (s *calls[C, A, M]) serve() error {
	s.slots, s.ready, s.next = make(chan struct{}, maxInFlight), make(chan answer[A], maxInFlight), make(chan *C)
	ctx, cancel := context.WithCancel(s.stream.Context())
	defer cancel()
	var sender sync.WaitGroup
	sender.Go(func() {
		s.sendErr = s.send()
		cancel() // a client that does not take answers makes no more calls either
		for a := range s.ready {
			s.release(1, a.bytes)
		}
	})
	err := s.receive(ctx)
	if err != nil {
		cancel() // nobody waits for the answers
	}
	close(s.next)
	s.running.Wait()
	close(s.ready)
	sender.Wait()
	if err == nil {
		err = s.sendErr
	}
	return statusOf(err)
}

// receive reads calls until the client ends the stream.
func (s *calls[C, A, M]) receive(ctx context.Context) error {
	for {
		m, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		s.work.begin()
		select {
		case s.next <- m:
		default:
			s.running.Go(func() { s.run(ctx, m) })
		}
	}
}

// run carries calls out, one after the other, and ends when enough others wait
// for the next one: a goroutine that stays has its stack already grown.
func (s *calls[C, A, M]) run(ctx context.Context, m *C) {
	for ok := true; ok; {
		message, bytes := s.carry(ctx, m)
		s.ready <- answer[A]{message, bytes}
		if s.idle.Add(1) > maxIdle {
			s.idle.Add(-1)
			return
		}
		m, ok = <-s.next
		s.idle.Add(-1)
	}
}

// send sends answers until there are no more.
func (s *calls[C, A, M]) send() error {
	for first := range s.ready {
		together, bytes := s.gather(first)
		err := s.stream.Send(s.wrap(together))
		s.release(len(together), bytes)
		if err != nil {
			return err
		}
	}
	return nil
}

// gather adds to an answer what is ready beside it.
func (s *calls[C, A, M]) gather(first answer[A]) (together []*A, bytes int) {
	together, bytes = []*A{first.message}, first.bytes
	for len(together) < maxAnswers && bytes < maxSharedBytes {
		select {
		case a, ok := <-s.ready:
			if !ok {
				return together, bytes
			}
			together, bytes = append(together, a.message), bytes+a.bytes
		default:
			return together, bytes
		}
	}
	return together, bytes
}

// release ends what n answers held, bytes all together.
func (s *calls[C, A, M]) release(n, bytes int) {
	s.sent(bytes)
	for range n {
		s.work.end()
		<-s.slots
	}
}
