package server

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/rpc/pb"
)

const (
	// maxInFlight bounds the writes of one stream that are on their way. The
	// next one is not read from the connection until one has ended.
	maxInFlight = 1024
	// maxIdle bounds the goroutines of one stream that wait for a write.
	maxIdle = 32
	// maxResults bounds the results that share one message.
	maxResults = 256
)

// WriteStream carries out the writes of a stream side by side.
func (s *Server) WriteStream(stream grpc.BidiStreamingServer[pb.WriteRequest, pb.WriteResults]) error {
	w := &writeStream{s: s, stream: stream, work: make(chan *pb.WriteRequest), results: make(chan *pb.WriteResult, maxInFlight), slots: make(chan struct{}, maxInFlight)}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	var sender sync.WaitGroup
	sender.Go(func() {
		w.send()
		cancel() // a client that does not take results sends no more writes either
	})
	err := w.receive(ctx)
	close(w.work)
	w.writes.Wait()
	close(w.results)
	sender.Wait()
	if err == nil {
		err = w.sendErr
	}
	return statusOf(err)
}

type writeStream struct {
	s       *Server
	stream  grpc.BidiStreamingServer[pb.WriteRequest, pb.WriteResults]
	slots   chan struct{}         // one a write whose result was not sent yet
	results chan *pb.WriteResult  // room for the results of all slots
	work    chan *pb.WriteRequest // to a goroutine that waits
	idle    atomic.Int32          // goroutines that wait, or are about to
	writes  sync.WaitGroup
	sendErr error // written by send only, read after it has returned
}

// receive reads writes until the client ends the stream.
func (w *writeStream) receive(ctx context.Context) error {
	for {
		m, err := w.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case w.slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		select {
		case w.work <- m:
		default:
			w.writes.Go(func() { w.carry(ctx, m) })
		}
	}
}

// carry carries writes out, one after the other, and ends when enough others
// wait for the next one: a goroutine that stays has its stack already grown.
func (w *writeStream) carry(ctx context.Context, m *pb.WriteRequest) {
	for ok := true; ok; {
		w.results <- w.s.write(ctx, m)
		if w.idle.Add(1) > maxIdle {
			w.idle.Add(-1)
			return
		}
		m, ok = <-w.work
		w.idle.Add(-1)
	}
}

// send sends results; those that are ready together share a message.
func (w *writeStream) send() {
	for first := range w.results {
		m := &pb.WriteResults{Results: []*pb.WriteResult{first}}
	gather:
		for len(m.Results) < maxResults {
			select {
			case r, ok := <-w.results:
				if !ok {
					break gather
				}
				m.Results = append(m.Results, r)
			default:
				break gather
			}
		}
		if w.sendErr = w.stream.Send(m); w.sendErr != nil {
			return // the slots stay taken: what is on its way finds room in results
		}
		for range m.Results {
			<-w.slots
		}
	}
}
