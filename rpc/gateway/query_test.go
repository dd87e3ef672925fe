package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/rpc/pb"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

func all(devices ...string) gateway.Query {
	return gateway.Query{Database: "d", Collection: "c", Devices: devices, From: storage.MinTime, To: storage.NoEnd}
}

func fill(t *testing.T, c *fakecluster.Cluster, devices, points int) {
	t.Helper()
	for at := 0; at < points; at += 1000 {
		for i := range devices {
			var batch []storage.Point
			for k := at; k < min(at+1000, points); k++ {
				batch = append(batch, point(fmt.Sprintf("dev-%d", i), int64(k), float64(k)))
			}
			if _, err := c.Nodes[i%len(c.Nodes)].Gateway.Write(t.Context(), batch, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestLargeAnswersStreamFromEveryNode(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	const devices, points = 12, 12_000
	fill(t, c, devices, points)
	for _, devs := range [][]string{nil, {"dev-0", "dev-1", "dev-2"}} { // all by streams; few by calls that turn out too large
		got := map[string]int{}
		last := map[string]int64{}
		err := c.Nodes[0].Gateway.Query(t.Context(), all(devs...), func(device string, cols *blocks.Columns) error {
			for _, at := range cols.Times {
				if prev, ok := last[device]; ok && at <= prev {
					t.Fatalf("%s: %d after %d", device, at, prev)
				}
				last[device] = at
			}
			got[device] += cols.Len()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		want := devices
		if devs != nil {
			want = len(devs)
		}
		if len(got) != want {
			t.Fatalf("%d devices, want %d", len(got), want)
		}
		for device, n := range got {
			if n != points {
				t.Errorf("%s: %d points, want %d", device, n, points)
			}
		}
	}
}

func TestSmallAnswersComeInTheOrderOfTheIDs(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	fill(t, c, 10, 3)
	order := func(q gateway.Query) (out []string) {
		if err := c.Nodes[1].Gateway.Query(t.Context(), q, func(device string, _ *blocks.Columns) error {
			out = append(out, device)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	ids := []string{"dev-7", "dev-1", "dev-9", "missing", "dev-0"}
	if got, want := order(all(ids...)), []string{"dev-7", "dev-1", "dev-9", "dev-0"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := order(all()); len(got) != 10 || !slices.IsSorted(got) {
		t.Errorf("got %v, want the ids sorted", got)
	}
}

func TestDescendingWithALimitGivesTheNewestFirst(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	fill(t, c, 1, 5000)
	q := all("dev-0")
	q.Descending, q.Limit = true, 4500
	next := int64(4999)
	for _, n := range c.Nodes {
		next = 4999
		if err := n.Gateway.Query(t.Context(), q, func(_ string, cols *blocks.Columns) error {
			for row, at := range cols.Times {
				if v, _ := cols.Cols[0].Value(row); at != next || v.Float64() != float64(next) {
					t.Fatalf("row (%d, %v), want %d", at, v, next)
				}
				next--
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if next != 499 {
			t.Fatalf("ended at %d, want the limit at 500", next+1)
		}
	}
}

// I10: no silent empty, no silent partial.
func TestI10ReadThatMissesAGroupFails(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{WriteTimeout: 200 * time.Millisecond})
	fill(t, c, 20, 2)
	c.SetLeader(3, "")
	for _, n := range c.Nodes {
		rows := 0
		err := n.Gateway.Query(t.Context(), all(), func(string, *blocks.Columns) error { rows++; return nil })
		e := wantCode(t, err, api.Unavailable)
		if e.Group == nil || *e.Group != 3 || e.Status != 503 {
			t.Errorf("problem %+v", e.Problem)
		}
		if rows != 0 {
			t.Errorf("%d chunks of a small answer were handed on before it failed", rows)
		}
	}
	q := all()
	q.Consistency = pb.Consistency_STALE
	if err := c.Nodes[0].Gateway.Query(t.Context(), q, func(string, *blocks.Columns) error { return nil }); err != nil {
		t.Fatalf("a stale read needs no leader: %v", err)
	}
	if _, err := c.Nodes[0].Gateway.ListCollections(t.Context(), "d"); err != nil {
		t.Fatalf("collections: %v", err)
	}
}

func TestReadFollowsTheLeaderAndLivesThroughBrokenCalls(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	fill(t, c, 1, 10)
	group := groupOf("dev-0")
	c.SetLeader(group, c.Nodes[int(group+1)%3].Name)
	broken := 0
	c.OnCall(func(_, _ string, m gateway.Method) (error, error) {
		if broken++; broken <= 2 {
			return nil, gateway.ErrBroken
		}
		return nil, nil
	})
	for _, n := range c.Nodes {
		if got := read(t, n.Gateway, "dev-0")["dev-0"]; len(got) != 10 {
			t.Fatalf("%s read %v", n.Name, got)
		}
	}
}

// A leaf that its leader may not serve makes a read fail, alone or among others, through whichever node it goes: it is never
// answered without the leaf. Once another one leads, it comes whole.
func TestLeafThatIsNotTrustedIsNeverLeftOut(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{WriteTimeout: 30 * time.Second})
	fill(t, c, 5, 10)
	const device = "dev-0"
	group := groupOf(device)
	leader, healthy := c.Nodes[0], c.Nodes[1]
	c.SetLeader(group, leader.Name)
	c.Distrust(group, leader.Name, digest.Leaf{Slot: storage.SlotOf(storage.Series{Database: "d", Collection: "c", Device: device}.Key())})
	reads := map[string]gateway.Query{"one device": all(device), "all": all(), "some": all("dev-1", device)}
	points := func(limit time.Duration, n *fakecluster.Node, q gateway.Query) (points int, err error) {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		err = n.Gateway.Query(ctx, q, func(d string, cols *blocks.Columns) error {
			if d == device {
				points += cols.Len()
			}
			return nil
		})
		return points, err
	}
	for name, q := range reads {
		for _, n := range c.Nodes[:2] { // the leader, and another
			if points, err := points(50*time.Millisecond, n, q); err == nil {
				t.Errorf("%s, through %s: %d points of a leaf that nobody serves", name, n.Name, points)
			}
		}
	}
	c.SetLeader(group, healthy.Name) // a suspect one hands over
	for name, q := range reads {
		for _, n := range []*fakecluster.Node{c.Nodes[2], c.Nodes[0], c.Nodes[1]} {
			if points, err := points(time.Minute, n, q); err != nil || points != 10 {
				t.Errorf("%s, through %s: %d points, %v", name, n.Name, points, err)
			}
		}
	}
}

func TestStaleReadsKeepTheirBound(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{WriteTimeout: 100 * time.Millisecond})
	fill(t, c, 1, 3)
	group := groupOf("dev-0")
	c.SetLeader(group, "")
	q := all("dev-0")
	q.Consistency = pb.Consistency_STALE
	q.MaxStaleness = time.Millisecond // the fakes last heard from a leader 50 ms ago
	err := c.Nodes[0].Gateway.Query(t.Context(), q, func(string, *blocks.Columns) error { return nil })
	wantCode(t, err, api.Stale)
	q.MaxStaleness = time.Minute
	if err := c.Nodes[0].Gateway.Query(t.Context(), q, func(string, *blocks.Columns) error { return nil }); err != nil {
		t.Fatal(err)
	}
}

func TestUnknownDatabaseIs404AndUnknownDeviceIsEmpty(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{Unassigned: true})
	q := all("x")
	if got := read(t, c.Nodes[0].Gateway, "x"); len(got) != 0 {
		t.Fatal(got)
	}
	q.Database = "nope"
	err := c.Nodes[0].Gateway.Query(t.Context(), q, func(string, *blocks.Columns) error { return nil })
	wantCode(t, err, api.DatabaseNotFound)
	c.SetMetaDown(true)
	err = c.Nodes[0].Gateway.Query(t.Context(), all("x"), func(string, *blocks.Columns) error { return nil })
	wantCode(t, err, api.Unavailable) // a group that the table does not know may exist by now
}

func TestTakerErrorEndsTheQuery(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	fill(t, c, 3, 2)
	enough := errors.New("enough")
	if err := c.Nodes[0].Gateway.Query(t.Context(), all(), func(string, *blocks.Columns) error { return enough }); !errors.Is(err, enough) {
		t.Fatal(err)
	}
}

func TestAggregatesAcrossBuckets(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	write := func(at int64, fields ...storage.Field) {
		t.Helper()
		p := storage.Point{Series: storage.Series{Database: "d", Collection: "c", Device: "a"}, Time: at, Fields: fields}
		if _, err := c.Nodes[0].Gateway.Write(t.Context(), []storage.Point{p}, 0); err != nil {
			t.Fatal(err)
		}
	}
	for i := int64(-3); i < 6; i++ { // buckets of 2: [-4,-2) [-2,0) [0,2) [2,4) [4,6)
		write(i, storage.Field{Name: "f", Value: blocks.Float(float64(i))}, storage.Field{Name: "i", Value: blocks.Int(i)})
	}
	tests := []struct {
		agg  pb.Aggregation
		desc bool
		lim  int
		want string
	}{
		{pb.Aggregation_MEAN, false, 0, "-4:f=-3,i=-3 -2:f=-1.5,i=-1.5 0:f=0.5,i=0.5 2:f=2.5,i=2.5 4:f=4.5,i=4.5"},
		{pb.Aggregation_SUM, false, 0, "-4:f=-3,i=-3 -2:f=-3,i=-3 0:f=1,i=1 2:f=5,i=5 4:f=9,i=9"},
		{pb.Aggregation_MIN, false, 2, "-4:f=-3,i=-3 -2:f=-2,i=-2"},
		{pb.Aggregation_MAX, true, 2, "4:f=5,i=5 2:f=3,i=3"},
		{pb.Aggregation_COUNT, true, 0, "4:f=2,i=2 2:f=2,i=2 0:f=2,i=2 -2:f=2,i=2 -4:f=1,i=1"},
		{pb.Aggregation_FIRST, true, 1, "4:f=4,i=4"},
		{pb.Aggregation_LAST, true, 1, "4:f=5,i=5"},
	}
	for _, tt := range tests {
		q := all("a")
		q.Aggregation, q.Every, q.Descending, q.Limit = tt.agg, 2, tt.desc, tt.lim
		for _, n := range c.Nodes {
			if got := render(t, n.Gateway, q); got != tt.want {
				t.Errorf("%s on %s: got  %s\nwant %s", tt.agg, n.Name, got, tt.want)
			}
		}
	}
	q := all("a")
	q.Aggregation = pb.Aggregation_COUNT
	if got := render(t, c.Nodes[0].Gateway, q); got != "-3:f=9,i=9" {
		t.Errorf("one bucket over everything: %s", got)
	}
	q.From, q.To = 0, 5
	if got := render(t, c.Nodes[0].Gateway, q); got != "0:f=5,i=5" {
		t.Errorf("one bucket over a range: %s", got)
	}
	write(6, storage.Field{Name: "s", Value: blocks.Text("x")})
	q = all("a")
	q.Aggregation = pb.Aggregation_MEAN
	err := c.Nodes[1].Gateway.Query(t.Context(), q, func(string, *blocks.Columns) error { return nil })
	if e := wantCode(t, err, api.NotNumeric); e.Status != 422 {
		t.Errorf("status %d", e.Status)
	}
	q.Fields = []string{"f"}
	if got := render(t, c.Nodes[0].Gateway, q); got != "-3:f=1" {
		t.Errorf("named numeric fields: %s", got)
	}
	q.Fields, q.Aggregation = []string{"s"}, pb.Aggregation_LAST
	if got := render(t, c.Nodes[0].Gateway, q); got != "6:s=x" {
		t.Errorf("last of a text: %s", got)
	}
}

func TestSumOfIntegersThatOverflowsIsAFloat(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{Nodes: 1})
	for i, v := range []int64{math.MaxInt64, math.MaxInt64} {
		p := point("a", int64(i), 0)
		p.Fields = []storage.Field{{Name: "i", Value: blocks.Int(v)}}
		if _, err := c.Nodes[0].Gateway.Write(t.Context(), []storage.Point{p}, 0); err != nil {
			t.Fatal(err)
		}
	}
	q := all("a")
	q.Aggregation, q.Every = pb.Aggregation_SUM, time.Hour
	if got, want := render(t, c.Nodes[0].Gateway, q), "0:i=1.8446744073709552e+19"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

// render writes rows as time:field=value,...
func render(t *testing.T, g *gateway.Gateway, q gateway.Query) string {
	t.Helper()
	var out []string
	if err := g.Query(t.Context(), q, func(_ string, c *blocks.Columns) error {
		for row, at := range c.Times {
			var fields []string
			for name, v := range c.Row(row) {
				fields = append(fields, name+"="+v.String())
			}
			out = append(out, fmt.Sprintf("%d:%s", at, strings.Join(fields, ",")))
		}
		return nil
	}); err != nil {
		t.Fatalf("query: %v", err)
	}
	return strings.Join(out, " ")
}

func TestQueryRefusals(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{Nodes: 1, Unassigned: true})
	for name, change := range map[string]func(*gateway.Query){
		"start behind end":           func(q *gateway.Query) { q.From, q.To = 2, 1 },
		"negative limit":             func(q *gateway.Query) { q.Limit = -1 },
		"interval alone":             func(q *gateway.Query) { q.Every = time.Hour },
		"staleness of a fresh read":  func(q *gateway.Query) { q.MaxStaleness = time.Second },
		"a bad collection":           func(q *gateway.Query) { q.Collection = "c c" },
		"a field with control bytes": func(q *gateway.Query) { q.Fields = []string{"a\x00"} },
	} {
		q := all()
		change(&q)
		err := c.Nodes[0].Gateway.Query(t.Context(), q, func(string, *blocks.Columns) error { return nil })
		if e := api.AsError(err); e.Code != api.InvalidArgument || e.Hint == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
