package client

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

// pipe is a stream that is in the hands of a test.
type pipe struct {
	grpc.ClientStream
	ctx      context.Context
	sent     chan *pb.QueryCall // Send waits until the test takes the call
	answers  chan *pb.QueryAnswers
	refusing error // of Send
}

func (p *pipe) Send(m *pb.QueryCall) error {
	if p.refusing != nil {
		return p.refusing
	}
	select {
	case p.sent <- m:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func (p *pipe) Recv() (*pb.QueryAnswers, error) {
	select {
	case m, ok := <-p.answers:
		if !ok {
			return nil, io.ErrUnexpectedEOF
		}
		return m, nil
	case <-p.ctx.Done():
		return nil, p.ctx.Err()
	}
}

// piped gives streams whose every stream is a pipe, in the order of opening.
func piped(t *testing.T, refusing error) (*streams[pb.QueryCall, pb.QueryAnswer, pb.QueryAnswers], chan *pipe) {
	t.Helper()
	pipes := make(chan *pipe, 8)
	w := &streams[pb.QueryCall, pb.QueryAnswer, pb.QueryAnswers]{kind: queryStream(nil)}
	w.kind.open = func(ctx context.Context) (grpc.BidiStreamingClient[pb.QueryCall, pb.QueryAnswers], error) {
		p := &pipe{ctx: ctx, sent: make(chan *pb.QueryCall), answers: make(chan *pb.QueryAnswers), refusing: refusing}
		pipes <- p
		return p, nil
	}
	t.Cleanup(w.close)
	return w, pipes
}

type outcome struct {
	answer *pb.QueryAnswer
	err    error
}

func call(ctx context.Context, w *streams[pb.QueryCall, pb.QueryAnswer, pb.QueryAnswers]) chan outcome {
	done := make(chan outcome, 1)
	go func() { // ends with the call: the test waits for its outcome
		a, err := w.do(ctx, &pb.QueryCall{}, nil)
		done <- outcome{a, err}
	}()
	return done
}

// lost fails the test unless the call got no answer, and was sent or not.
func lost(t *testing.T, o outcome, sent bool, cause error) {
	t.Helper()
	l, ok := errors.AsType[*lostCall](o.err)
	if !ok || l.sent != sent || !errors.Is(l, cause) {
		t.Fatalf("%v, want sent %v because of %v", o.err, sent, cause)
	}
}

func TestCallerThatGivesUpFreesItsID(t *testing.T) {
	w, pipes := piped(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	first := call(ctx, w)
	p := <-pipes
	a := <-p.sent
	cancel()
	lost(t, <-first, true, context.Canceled)
	if n := len(w.current.waiting); n != 0 {
		t.Fatalf("%d ids wait", n)
	}
	second := call(t.Context(), w)
	b := <-p.sent
	if a.GetId() == b.GetId() {
		t.Fatal("an id was used twice")
	}
	p.answers <- &pb.QueryAnswers{Answers: []*pb.QueryAnswer{{Id: a.GetId(), TooLarge: true}, {Id: b.GetId()}}}
	if o := <-second; o.err != nil || o.answer.GetId() != b.GetId() || o.answer.GetTooLarge() {
		t.Fatalf("%v %v: the answer of another", o.answer, o.err)
	}
}

func TestNodeThatTakesNothingCostsTheCallersTimeOnly(t *testing.T) {
	w, pipes := piped(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	first, second := call(ctx, w), call(ctx, w) // one is in Send, one waits for it
	p := <-pipes
	cancel()
	for _, done := range []chan outcome{first, second} {
		if o := <-done; !errors.Is(o.err, context.Canceled) {
			t.Fatal(o.err)
		}
	}
	third := call(t.Context(), w) // others go on
	for {
		select {
		case m := <-p.sent:
			p.answers <- &pb.QueryAnswers{Answers: []*pb.QueryAnswer{{Id: m.GetId()}}}
		case o := <-third:
			if o.err != nil {
				t.Fatal(o.err)
			}
			return
		}
	}
}

func TestWhatSendRefusesWasNotSent(t *testing.T) {
	w, _ := piped(t, io.EOF)
	lost(t, <-call(t.Context(), w), false, errBroken)
}

func TestBrokenStreamEndsItsCallsAndIsReplaced(t *testing.T) {
	w, pipes := piped(t, nil)
	first := call(t.Context(), w)
	p := <-pipes
	<-p.sent
	close(p.answers)
	lost(t, <-first, true, io.ErrUnexpectedEOF)
	second := call(t.Context(), w)
	p = <-pipes
	m := <-p.sent
	p.answers <- &pb.QueryAnswers{Answers: []*pb.QueryAnswer{{Id: m.GetId()}}}
	if o := <-second; o.err != nil {
		t.Fatal(o.err)
	}
}

func TestStreamThatDoesNotOpenHoldsNobodyLonger(t *testing.T) {
	w, _ := piped(t, nil)
	w.kind.open = func(ctx context.Context) (grpc.BidiStreamingClient[pb.QueryCall, pb.QueryAnswers], error) {
		<-ctx.Done() // as while a connection is being made
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, second := call(ctx, w), call(t.Context(), w)
	cancel()
	lost(t, <-first, false, context.Canceled)
	w.close()
	if o := <-second; api.CodeOf(o.err) != api.Cancelled {
		t.Fatal(o.err)
	}
	if o := <-call(t.Context(), w); !errors.Is(o.err, errClosed) {
		t.Fatal(o.err)
	}
}

func TestWhatIsKnownOfAWriteWithoutAnAnswer(t *testing.T) {
	for _, tt := range []struct {
		lost lostCall
		want api.Code
	}{
		{lostCall{sent: false, cause: errBroken}, api.NotApplied},
		{lostCall{sent: false, cause: context.DeadlineExceeded}, api.NotApplied},
		{lostCall{sent: true, cause: io.EOF}, api.OutcomeUnknown},
		{lostCall{sent: true, cause: context.Canceled}, api.OutcomeUnknown},
	} {
		if got := lostWrite(&tt.lost); got.Code != tt.want {
			t.Errorf("%v: %s, want %s", &tt.lost, got.Code, tt.want)
		}
	}
}

func TestWhichQueriesAreTriedOnTheStream(t *testing.T) {
	one, five := []string{"a"}, []string{"a", "b", "c", "d", "e"}
	from, to := int64(0), int64(time.Hour)
	for name, tt := range map[string]struct {
		q    Query
		want bool
	}{
		"the last point":                     {Query{Devices: one, Limit: 1}, true},
		"few rows of few devices":            {Query{Devices: five, Limit: wholeRows / 5}, true},
		"more rows than are small":           {Query{Devices: five, Limit: wholeRows/5 + 1}, false},
		"a limit that says nothing":          {Query{Devices: one, Limit: 1 << 40}, false},
		"a range of few devices":             {Query{Devices: one, From: &from, To: &to}, true},
		"a range of more":                    {Query{Devices: five, From: &from, To: &to}, false},
		"a collection":                       {Query{Limit: 1}, false},
		"one value a device":                 {Query{Devices: five, Aggregation: Mean}, true},
		"one value a device of a collection": {Query{Aggregation: Mean}, false},
		"few buckets":                        {Query{Devices: one, From: &from, To: &to, Aggregation: Mean, Every: time.Minute}, true},
		"many buckets":                       {Query{Devices: one, From: &from, To: &to, Aggregation: Mean, Every: time.Second}, false},
		"buckets without an end":             {Query{Devices: one, From: &from, Aggregation: Mean, Every: time.Minute}, false},
	} {
		var l largeAnswers
		if got := l.expectSmall(&tt.q); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestRangesThatWereTooLargeAreNotTriedForAWhile(t *testing.T) {
	var l largeAnswers
	ranged, last := Query{Devices: []string{"a"}}, Query{Devices: []string{"a"}, Limit: 1}
	if l.met(&last); !l.expectSmall(&ranged) {
		t.Error("a row that is too large says nothing of ranges")
	}
	l.met(&ranged)
	for i := range largeRun {
		if l.expectSmall(&ranged) || !l.expectSmall(&last) {
			t.Fatalf("query %d", i)
		}
	}
	if !l.expectSmall(&ranged) {
		t.Error("it is never tried again")
	}
}
