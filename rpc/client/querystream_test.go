package client_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/rpc/pb"
)

// opened counts the streams that a client opens, by method.
type opened struct {
	mu sync.Mutex
	n  map[string]int
}

func (o *opened) option() grpc.DialOption {
	return grpc.WithStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.n == nil {
			o.n = map[string]int{}
		}
		o.n[method]++
		return open(ctx, d, cc, method, opts...)
	})
}

func (o *opened) want(t *testing.T, queries, streams int) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	want := map[string]int{}
	for method, n := range map[string]int{pb.Flotilla_Query_FullMethodName: queries, pb.Flotilla_QueryStream_FullMethodName: streams} {
		if n > 0 {
			want[method] = n
		}
	}
	delete(o.n, pb.Flotilla_WriteStream_FullMethodName)
	if !maps.Equal(o.n, want) {
		t.Fatalf("opened %v, want %v", o.n, want)
	}
}

func device(name string) client.Series {
	return client.Series{Database: "d", Collection: "c", Device: name}
}

// count reads the range of one device.
func count(t *testing.T, cl *client.Client, device string) (rows int) {
	t.Helper()
	q := client.Query{Database: "d", Collection: "c", Devices: []string{device}}
	if err := cl.Query(t.Context(), q, func(_ string, c *client.Columns) error { rows += c.Len(); return nil }); err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestReadsOfManyCallersShareAStreamAndStayApart(t *testing.T) {
	const devices = 50
	c := fakecluster.New(t, fakecluster.Options{})
	var o opened
	cl := dial(t, c, client.Options{Dial: []grpc.DialOption{o.option()}})
	for i := range devices {
		var points []client.Point
		for at := range int64(i + 1) {
			points = append(points, client.Point{Series: device(fmt.Sprint("dev-", i)), Time: at, Fields: []client.Field{{Name: "v", Value: client.Float(float64(i))}}})
		}
		if _, err := cl.Write(t.Context(), points); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	for caller := range 64 {
		wg.Go(func() {
			for k := range 40 {
				i := (caller*7 + k) % devices
				s := device(fmt.Sprint("dev-", i))
				if k%4 == 0 {
					if got := count(t, cl, s.Device); got != i+1 {
						t.Errorf("%s has %d rows", s.Device, got)
					}
					continue
				}
				p, ok, err := cl.Last(t.Context(), s, client.Linearizable)
				if err != nil || !ok || p.Time != int64(i) || p.Fields[0].Value.Float64() != float64(i) {
					t.Errorf("%s: %+v %v %v", s.Device, p, ok, err)
				}
			}
		})
	}
	wg.Wait()
	if _, ok, err := cl.Last(t.Context(), device("none"), client.Linearizable); ok || err != nil {
		t.Errorf("a device without points: %v %v", ok, err)
	}
	_, _, err := cl.Last(t.Context(), client.Series{Database: "nope", Collection: "c", Device: "a"}, client.Linearizable)
	code(t, err, api.DatabaseNotFound)
	o.want(t, 0, 3) // one a connection
}

func TestAnswerThatIsTooLargeComesWhole(t *testing.T) {
	const rows = 20_000 // 320 KB
	c := fakecluster.New(t, fakecluster.Options{})
	var o opened
	cl := dial(t, c, client.Options{Dial: []grpc.DialOption{o.option()}})
	for from := 0; from < rows; from += 10_000 {
		var points []client.Point
		for i := range 10_000 {
			points = append(points, at(int64(from+i), 1))
		}
		if _, err := cl.Write(t.Context(), points); err != nil {
			t.Fatal(err)
		}
	}
	for range 4 {
		if got := count(t, cl, "a"); got != rows {
			t.Fatalf("%d rows of %d", got, rows)
		}
	}
	o.want(t, 4, 1) // the other three do not try the stream
}

func TestOldNodeIsAskedByCalls(t *testing.T) {
	var o opened
	cl := dialServer(t, constantNode{rows: readings(3)}, client.Options{Dial: []grpc.DialOption{o.option()}})
	for range 5 {
		if got := count(t, cl, "a"); got != 3 {
			t.Fatalf("%d rows", got)
		}
	}
	o.want(t, 5, 1)
}

// brokenNode breaks its first streams when a read has come, in mid-answer.
type brokenNode struct {
	streamingNode
	breaks chan struct{} // one a stream that breaks
}

func (n brokenNode) QueryStream(stream grpc.BidiStreamingServer[pb.QueryCall, pb.QueryAnswers]) error {
	select {
	case <-n.breaks:
		if _, err := stream.Recv(); err != nil {
			return err
		}
		return status.Error(codes.Unavailable, "the node dies")
	default:
		return n.streamingNode.QueryStream(stream)
	}
}

func TestStreamThatBreaksInMidReadIsRetried(t *testing.T) {
	n := brokenNode{streamingNode{constantNode{rows: readings(3)}}, make(chan struct{}, 2)}
	n.breaks <- struct{}{}
	n.breaks <- struct{}{}
	var o opened
	cl := dialServer(t, n, client.Options{Dial: []grpc.DialOption{o.option()}})
	if got := count(t, cl, "a"); got != 3 {
		t.Fatalf("%d rows", got)
	}
	o.want(t, 0, 3)

	n.breaks <- struct{}{}
	once := dialServer(t, n, client.Options{RetryFor: -1})
	_, _, err := once.Last(t.Context(), series, client.Linearizable)
	code(t, err, api.NotReady)
}

// silentNode takes reads and answers none.
type silentNode struct {
	pb.UnimplementedFlotillaServer
	calls chan *pb.QueryCall
}

func (n silentNode) QueryStream(stream grpc.BidiStreamingServer[pb.QueryCall, pb.QueryAnswers]) error {
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		n.calls <- m
	}
}

func TestCallersTimeEndsARead(t *testing.T) {
	n := silentNode{calls: make(chan *pb.QueryCall, 16)}
	cl := dialServer(t, n, client.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, _, err := cl.Last(ctx, series, client.Linearizable)
	code(t, err, api.Unavailable)
	if ms := (<-n.calls).GetTimeoutMs(); ms == 0 || ms > 200 {
		t.Errorf("the node was given %d ms", ms)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { // ends with the read
		_, _, err := cl.Last(ctx, series, client.Linearizable)
		done <- err
	}()
	if ms := (<-n.calls).GetTimeoutMs(); ms != 0 {
		t.Errorf("the node was given %d ms of unbounded time", ms)
	}
	stop()
	code(t, <-done, api.Cancelled)
}

// dialServer opens a Client to one server that a test has made.
func dialServer(t *testing.T, node pb.FlotillaServer, o client.Options) *client.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterFlotillaServer(s, node)
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(l) }) // ends with Stop
	o.Addrs = []string{l.Addr().String()}
	cl, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cl.Close(); err != nil {
			t.Error(err)
		}
		s.Stop()
		serving.Wait()
	})
	return cl
}
