package server

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/rpc/pb"
)

const (
	// maxInFlight bounds the writes of one stream that are on their way. The
	// next one is not read from the connection until one has ended.
	maxInFlight = 1024
	// maxResults bounds the results that share one message.
	maxResults = 256
)

// WriteStream carries out the writes of a stream side by side.
func (s *Server) WriteStream(stream grpc.BidiStreamingServer[pb.WriteRequest, pb.WriteResults]) error {
	w := &writeStream{s: s, stream: stream, results: make(chan *pb.WriteResult, maxInFlight), slots: make(chan struct{}, maxInFlight)}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	var sender sync.WaitGroup
	sender.Go(func() {
		w.send()
		cancel() // a client that does not take results sends no more writes either
	})
	err := w.receive(ctx)
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
	slots   chan struct{}        // one a write whose result was not sent yet
	results chan *pb.WriteResult // room for the results of all slots
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
		w.writes.Go(func() { w.results <- w.s.write(ctx, m) })
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
