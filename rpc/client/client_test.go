package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// dial opens a Client to all nodes of a fake cluster, over memory.
func dial(t *testing.T, c *fakecluster.Cluster, o client.Options) *client.Client {
	t.Helper()
	byName := map[string]*fakecluster.Node{}
	for _, n := range c.Nodes {
		byName[n.Name] = n
		o.Addrs = append(o.Addrs, "passthrough:///"+n.Name)
	}
	o.Dial = append(o.Dial, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return byName[addr].Dial(ctx, addr) }))
	cl, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cl.Close(); err != nil {
			t.Error(err)
		}
	})
	return cl
}

var series = client.Series{Database: "d", Collection: "c", Device: "a"}

func at(ns int64, v float64) client.Point {
	return client.Point{Series: series, Time: ns, Fields: []client.Field{{Name: "v", Value: client.Float(v)}}}
}

func times(t *testing.T, cl *client.Client) (out []int64) {
	t.Helper()
	if err := cl.Query(t.Context(), client.Query{Database: "d", Collection: "c", Devices: []string{"a"}}, func(_ string, c *client.Columns) error {
		out = append(out, c.Times...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func code(t *testing.T, err error, want api.Code) {
	t.Helper()
	if got := api.CodeOf(err); got != want {
		t.Fatalf("got %v (%s), want %s", err, got, want)
	}
}

func TestWritesOfManyCallersShareAStreamAndStayApart(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	cl := dial(t, c, client.Options{})
	group := uint32(0)
	for c.Proposals(group) > 0 {
		group++
	}
	var wg sync.WaitGroup
	for caller := range 64 {
		wg.Go(func() {
			for i := range 20 {
				w, err := cl.Write(t.Context(), []client.Point{at(int64(caller*20+i), 1)})
				if err != nil || w.Points != 1 || w.Attempts != 1 {
					t.Errorf("write: %+v %v", w, err)
				}
			}
		})
	}
	wg.Wait()
	if got := times(t, cl); len(got) != 64*20 {
		t.Fatalf("%d points", len(got))
	}
	total := 0
	for group := range uint32(fakecluster.TotalGroups) {
		total += c.Proposals(group)
	}
	if total != 64*20 {
		t.Fatalf("%d proposals for %d writes: the client must not merge callers", total, 64*20)
	}
	p, ok, err := cl.Last(t.Context(), series, client.Linearizable)
	if err != nil || !ok || p.Time != 64*20-1 || len(p.Fields) != 1 {
		t.Fatalf("Last = %+v %v %v", p, ok, err)
	}
}

func TestRetryByErrorClass(t *testing.T) {
	tests := []struct {
		name      string
		outcomes  []error // of the proposals in turn, then applied
		options   client.Options
		stampFree bool
		want      api.Code
		applied   int
	}{
		{name: "busy is sent again", outcomes: []error{gateway.ErrBusy, gateway.ErrBusy}, applied: 1},
		{name: "unknown is sent again by default", outcomes: []error{fakecluster.ErrAppliedUnknown}, applied: 2},
		{name: "unknown is reported where that is asked for", outcomes: []error{fakecluster.ErrAppliedUnknown}, options: client.Options{NoRetryUnknown: true},
			want: api.OutcomeUnknown, applied: 1},
		{name: "one attempt", outcomes: []error{gateway.ErrBusy}, options: client.Options{RetryFor: -1}, want: api.Busy},
		{name: "a refusal is final", outcomes: []error{gateway.ErrRefused}, want: api.InvalidArgument},
		{name: "an unknown write without times is repeated with its stamps", outcomes: []error{fakecluster.ErrAppliedUnknown}, stampFree: true, applied: 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := fakecluster.New(t, fakecluster.Options{})
			turn := atomic.Int32{}
			c.OnPropose(func(string, uint32) error {
				if i := int(turn.Add(1)); i <= len(tt.outcomes) {
					return tt.outcomes[i-1]
				}
				return nil
			})
			cl := dial(t, c, tt.options)
			p := at(7, 1)
			if tt.stampFree {
				p.Time = client.NoTime
			}
			w, err := cl.Write(t.Context(), []client.Point{p})
			if code(t, err, tt.want); err == nil && w.Attempts != len(tt.outcomes)+1 {
				t.Errorf("%d attempts", w.Attempts)
			}
			c.OnPropose(nil)
			applied := 0
			for group := range uint32(fakecluster.TotalGroups) {
				applied += c.Proposals(group)
			}
			if applied != tt.applied {
				t.Errorf("applied %d times, want %d", applied, tt.applied)
			}
			if got := times(t, cl); len(got) != min(tt.applied, 1) {
				t.Errorf("%d points: a repetition must fall on the same time: %v", len(got), got)
			}
			if tt.stampFree && (len(w.Stamps) != 1 || w.Stamps[0].Time == client.NoTime) {
				t.Errorf("stamps %+v", w.Stamps)
			}
		})
	}
}

func TestOnceUnknownStaysUnknownWhenLaterAttemptsFail(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{WriteTimeout: 50 * time.Millisecond})
	first := atomic.Bool{}
	c.OnPropose(func(string, uint32) error {
		if first.CompareAndSwap(false, true) {
			return gateway.ErrUnknown
		}
		return gateway.ErrNotApplied
	})
	cl := dial(t, c, client.Options{RetryFor: 300 * time.Millisecond})
	_, err := cl.Write(t.Context(), []client.Point{at(1, 1)})
	code(t, err, api.OutcomeUnknown)
}

func TestNodeThatDiesLeavesTheClientWorking(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	for group := range uint32(fakecluster.TotalGroups) {
		c.SetLeader(group, "n2")
	}
	cl := dial(t, c, client.Options{})
	var wg sync.WaitGroup
	var acked atomic.Int32
	for caller := range 16 {
		wg.Go(func() {
			for i := range 50 {
				if _, err := cl.Write(t.Context(), []client.Point{at(int64(caller*50+i), 1)}); err != nil {
					t.Errorf("write: %v", err)
				}
				if acked.Add(1) == 200 {
					c.SetDown("n1", true)
					c.Nodes[0].StopGRPC()
				}
			}
		})
	}
	wg.Wait()
	if got := times(t, cl); len(got) != 16*50 || !slices.IsSorted(got) {
		t.Fatalf("%d points of %d", len(got), 16*50)
	}
}

func TestInvalidPointsNeverLeaveTheClient(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{Nodes: 1})
	cl := dial(t, c, client.Options{})
	c.SetDown("n1", true)
	bad := at(1, 1)
	bad.Device = ""
	_, err := cl.Write(t.Context(), []client.Point{bad, at(1, 1), bad})
	code(t, err, api.InvalidPoints)
	const text = "2 of 3 points are invalid, nothing was written; the first: device is empty (1 to 256 bytes of UTF-8) (correct or leave out the points that are listed)"
	if e := api.AsError(err); len(e.Points) != 2 || e.Points[1].Index != 2 || err.Error() != text {
		t.Errorf("%v: %+v", err, e.Points)
	}
	c.SetDown("n1", false)
	twice := at(1, 1)
	twice.Fields = append(twice.Fields, twice.Fields[0])
	_, err = cl.Write(t.Context(), []client.Point{twice})
	code(t, err, api.InvalidPoints)
}

// A batch that no node takes never leaves the client: on its way it would break the stream of all callers.
func TestBatchThatIsTooLargeIsNotSent(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{Nodes: 1})
	cl := dial(t, c, client.Options{RetryFor: -1})
	var batch []client.Point
	for i := range 210 {
		p := at(int64(i), 1)
		p.Fields[0].Value = client.Text(strings.Repeat("x", 60_000))
		batch = append(batch, p)
	}
	_, err := cl.Write(t.Context(), batch) // over 12 MB: more than a message may have
	code(t, err, api.TooLarge)
	_, err = cl.Write(t.Context(), batch[:100])
	code(t, err, "")
}

func TestContextEndsACall(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{WriteTimeout: time.Minute})
	c.OnPropose(func(string, uint32) error { return fakecluster.ErrHang })
	cl := dial(t, c, client.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := cl.Write(ctx, []client.Point{at(1, 1)})
	code(t, err, api.OutcomeUnknown)
	done, stop := context.WithCancel(t.Context())
	stop()
	if err := cl.Query(done, client.Query{Database: "d", Collection: "c"}, func(string, *client.Columns) error { return nil }); err == nil {
		t.Error("a query under an ended context succeeded")
	}
}

func TestLargeQueriesStreamAndTakersCanStop(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	cl := dial(t, c, client.Options{})
	for i := range 6 {
		var batch []client.Point
		for k := range 10_000 {
			p := at(int64(k), float64(k))
			p.Device = fmt.Sprint("dev-", i)
			batch = append(batch, p)
		}
		if _, err := cl.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	rows := 0
	if err := cl.Query(t.Context(), client.Query{Database: "d", Collection: "c"}, func(_ string, cols *client.Columns) error { rows += cols.Len(); return nil }); err != nil || rows != 60_000 {
		t.Fatalf("%d rows, %v", rows, err)
	}
	enough := errors.New("enough")
	if err := cl.Query(t.Context(), client.Query{Database: "d", Collection: "c"}, func(string, *client.Columns) error { return enough }); !errors.Is(err, enough) {
		t.Fatal(err)
	}
	agg := 0.0
	if err := cl.Query(t.Context(), client.Query{Database: "d", Collection: "c", Devices: []string{"dev-1"}, Aggregation: client.Mean}, func(_ string, cols *client.Columns) error {
		v, _ := cols.Cols[0].Value(0)
		agg = v.Float64()
		return nil
	}); err != nil || agg != 4999.5 {
		t.Fatalf("mean %v, %v", agg, err)
	}
	err := cl.Query(t.Context(), client.Query{Database: "nope", Collection: "c"}, func(string, *client.Columns) error { return nil })
	code(t, err, api.DatabaseNotFound)
}

func TestAdminCalls(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	cl := dial(t, c, client.Options{})
	if groups, err := cl.Groups(t.Context()); err != nil || len(groups) != fakecluster.TotalGroups || !groups[0].Healthy() {
		t.Fatalf("%d groups, %v", len(groups), err)
	}
	if nodes, err := cl.Nodes(t.Context()); err != nil || len(nodes) != 3 {
		t.Fatalf("%d nodes, %v", len(nodes), err)
	}
	if db, err := cl.CreateDatabase(t.Context(), "x", "1d"); err != nil || db.Retention != "1d" {
		t.Fatalf("%+v %v", db, err)
	}
	r, err := cl.Verify(t.Context(), "", 1, 2)
	if err != nil || r.GroupsEqual != 2 || r.ExitCode() != 0 {
		t.Fatalf("%+v %v", r, err)
	}
	_, err = cl.Verify(t.Context(), "bad")
	code(t, err, api.InvalidArgument)
	if err := cl.Delete(t.Context(), "d", "c", nil, nil, nil); err != nil {
		t.Fatal(err)
	}
}

func TestNoAddressIsRefused(t *testing.T) {
	if _, err := client.New(client.Options{}); err == nil {
		t.Fatal("no error")
	}
}

func TestAddressesThatCannotBeOnesAreRefused(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:7600": true, "db1:7600": true, "[::1]:7600": true, "dns:///db1:7600": true, "unix:/run/x": true, "passthrough:///n1": true,
		"": false, "db1": false, "127.0.0.1:0": false, "127.0.0.1:99999": false, "http://127.0.0.1:7601": false, "::1:7600": false,
	} {
		cl, err := client.New(client.Options{Addrs: []string{"127.0.0.1:1", addr}})
		if (err == nil) != ok {
			t.Errorf("%q: %v", addr, err)
		}
		if err == nil {
			cl.Close()
		}
	}
}

func BenchmarkWriteStream(b *testing.B) {
	c := fakecluster.New(b, fakecluster.Options{})
	names := map[string]*fakecluster.Node{}
	o := client.Options{}
	for _, n := range c.Nodes {
		names[n.Name] = n
		o.Addrs = append(o.Addrs, "passthrough:///"+n.Name)
	}
	o.Dial = append(o.Dial, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return names[addr].Dial(ctx, addr) }))
	cl, err := client.New(o)
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	b.SetParallelism(128)
	b.ReportAllocs()
	var n atomic.Int64
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			pt := at(n.Add(1), 1)
			pt.Device = fmt.Sprint("dev-", pt.Time%1000)
			if _, err := cl.Write(b.Context(), []client.Point{pt}); err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkWriteBatch(b *testing.B) {
	c := fakecluster.New(b, fakecluster.Options{})
	names := map[string]*fakecluster.Node{}
	o := client.Options{}
	for _, n := range c.Nodes {
		names[n.Name] = n
		o.Addrs = append(o.Addrs, "passthrough:///"+n.Name)
	}
	o.Dial = append(o.Dial, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return names[addr].Dial(ctx, addr) }))
	cl, err := client.New(o)
	if err != nil {
		b.Fatal(err)
	}
	defer cl.Close()
	b.ReportAllocs()
	batch := make([]client.Point, 1000)
	for n := 0; b.Loop(); n++ {
		for i := range batch {
			batch[i] = client.Point{Series: client.Series{Database: "d", Collection: "c", Device: fmt.Sprintf("dev-%04d", i)}, Time: int64(n),
				Fields: []client.Field{{Name: "a", Value: client.Float(1)}, {Name: "b", Value: client.Float(2)}, {Name: "c", Value: client.Float(3)}}}
		}
		if _, err := cl.Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "points/s")
}

// The time that the caller gives ends in the node's own word: a write that no
// leader took was not applied, and is not called unknown.
func TestNoLeaderInTheCallersTimeIsNotUnknown(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{WriteTimeout: time.Minute})
	for group := range uint32(fakecluster.TotalGroups) {
		c.SetLeader(group, "")
	}
	cl := dial(t, c, client.Options{RetryFor: 2 * time.Second})
	_, err := cl.Write(t.Context(), []client.Point{at(1, 1)})
	if code := api.CodeOf(err); code != api.NoLeader && code != api.NotApplied {
		t.Errorf("%s: %v", code, err)
	}
}

func TestAnEmptyListOfDevicesDeletesNothing(t *testing.T) {
	cl := dial(t, fakecluster.New(t, fakecluster.Options{}), client.Options{})
	if _, err := cl.Write(t.Context(), []client.Point{at(1, 1)}); err != nil {
		t.Fatal(err)
	}
	if err := cl.Delete(t.Context(), "d", "c", []string{}, nil, nil); api.CodeOf(err) != api.InvalidArgument {
		t.Errorf("%v", err)
	}
	if got := times(t, cl); len(got) != 1 {
		t.Errorf("left: %v", got)
	}
	if err := cl.Delete(t.Context(), "d", "c", nil, nil, nil); err != nil || len(times(t, cl)) != 0 {
		t.Errorf("nil means all: %v", err)
	}
}
