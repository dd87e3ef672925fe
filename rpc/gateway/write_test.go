package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/storage/blocks"
)

func point(device string, at int64, v float64) storage.Point {
	return storage.Point{Series: storage.Series{Database: "d", Collection: "c", Device: device}, Time: at,
		Fields: []storage.Field{{Name: "v", Value: blocks.Float(v)}}}
}

func groupOf(device string) uint32 {
	return storage.GroupOf("d", "c", device, fakecluster.TotalGroups)
}

// read gives device -> times of a collection, by a linearizable query.
func read(t *testing.T, g *gateway.Gateway, devices ...string) map[string][]int64 {
	t.Helper()
	out := map[string][]int64{}
	err := g.Query(t.Context(), gateway.Query{Database: "d", Collection: "c", Devices: devices, From: storage.MinTime, To: storage.NoEnd},
		func(device string, c *blocks.Columns) error {
			out[device] = append(out[device], c.Times...)
			return nil
		})
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return out
}

func wantCode(t *testing.T, err error, want api.Code) *api.Error {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Code != want {
		t.Fatalf("got %v (code %s), want code %s", err, api.CodeOf(err), want)
	}
	return e
}

func TestBatchOverAllGroupsIsReadBackThroughAnotherNode(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	var batch []storage.Point
	for i := range 500 {
		batch = append(batch, point(fmt.Sprintf("dev-%d", i%100), int64(i), float64(i)))
	}
	calls := atomic.Int32{}
	c.OnCall(func(_, _ string, m gateway.Method) (error, error) {
		if m == gateway.MethodWrite {
			calls.Add(1)
		}
		return nil, nil
	})
	w, err := c.Nodes[1].Gateway.Write(t.Context(), batch, 0)
	if err != nil || w.Points != 500 || len(w.Stamps) != 0 {
		t.Fatalf("Write = %+v, %v", w, err)
	}
	if n := calls.Load(); n != 2 {
		t.Errorf("%d forwards, want one a destination node: 2", n)
	}
	got := read(t, c.Nodes[2].Gateway)
	if len(got) != 100 {
		t.Fatalf("%d devices, want 100", len(got))
	}
	for device, times := range got {
		if len(times) != 5 || !slices.IsSorted(times) {
			t.Errorf("%s: times %v", device, times)
		}
	}
}

func TestForwardHintIsFollowedAndKept(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	group := groupOf("a")
	primary := c.Leader(group)
	other := ""
	for _, n := range c.Nodes {
		if n.Name != primary {
			other = n.Name
		}
	}
	c.SetLeader(group, other)
	asked := []string{}
	c.OnCall(func(_, to string, m gateway.Method) (error, error) {
		asked = append(asked, to)
		return nil, nil
	})
	from := c.Nodes[0].Gateway
	for _, n := range c.Nodes { // a node that neither leads nor is the primary
		if n.Name != primary && n.Name != other {
			from = n.Gateway
		}
	}
	for i := range 2 {
		if _, err := from.Write(t.Context(), []storage.Point{point("a", int64(i), 1)}, 0); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{primary, other, other}; !slices.Equal(asked, want) {
		t.Fatalf("asked %v, want %v: the hint is followed, and remembered", asked, want)
	}
}

func TestNotAppliedIsRetriedInsideTheNode(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	group := groupOf("a")
	tries := atomic.Int32{}
	c.OnPropose(func(_ string, g uint32) error {
		if g == group && tries.Add(1) <= 3 {
			return fmt.Errorf("transfer: %w", gateway.ErrNotApplied)
		}
		return nil
	})
	if _, err := c.Nodes[0].Gateway.Write(t.Context(), []storage.Point{point("a", 1, 1)}, 0); err != nil {
		t.Fatal(err)
	}
	if got := c.Proposals(group); got != 1 {
		t.Fatalf("applied %d times", got)
	}
}

func TestNoLeaderWaitsForOneUntilTheTimeout(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{WriteTimeout: time.Second})
	group := groupOf("a")
	leader := c.Leader(group)
	c.SetLeader(group, "")
	_, err := c.Nodes[0].Gateway.Write(t.Context(), []storage.Point{point("a", 1, 1)}, 0)
	if e := wantCode(t, err, api.NoLeader); e.Status != 503 || e.Group == nil || *e.Group != group {
		t.Fatalf("problem %+v", e.Problem)
	}
	if c.Proposals(group) != 0 {
		t.Fatal("applied without a leader")
	}
	tries := atomic.Int32{}
	c.OnCall(func(string, string, gateway.Method) (error, error) {
		if tries.Add(1) == 4 { // the election ends while the write waits
			c.SetLeader(group, leader)
		}
		return nil, nil
	})
	if _, err := c.Nodes[int(group+1)%3].Gateway.Write(t.Context(), []storage.Point{point("a", 1, 1)}, 0); err != nil {
		t.Fatalf("a leader came in time: %v", err)
	}
}

// I10: unknown is reported as unknown, and the node never repeats it.
func TestI10UnknownOutcomeIsNeverRepeatedByTheNode(t *testing.T) {
	for name, outcome := range map[string]error{
		"lost leadership":  fakecluster.ErrAppliedUnknown,
		"an unlisted case": errors.New("something new"),
	} {
		t.Run(name, func(t *testing.T) {
			c := fakecluster.New(t, fakecluster.Options{})
			group := groupOf("a")
			tries := atomic.Int32{}
			c.OnPropose(func(string, uint32) error { tries.Add(1); return outcome })
			for _, n := range c.Nodes { // on the leader, and forwarded
				tries.Store(0)
				_, err := n.Gateway.Write(t.Context(), []storage.Point{point("a", 1, 1)}, 0)
				if e := wantCode(t, err, api.OutcomeUnknown); e.Status != 504 {
					t.Fatalf("status %d", e.Status)
				}
				if tries.Load() != 1 {
					t.Fatalf("node %s proposed %d times in group %d", n.Name, tries.Load(), group)
				}
			}
		})
	}
}

func TestBrokenForwardIsUnknownAndUnreachableIsNot(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{WriteTimeout: time.Second})
	group := groupOf("a")
	from := c.Nodes[int(group+1)%3].Gateway
	c.OnCall(func(string, string, gateway.Method) (error, error) { return nil, gateway.ErrBroken })
	_, err := from.Write(t.Context(), []storage.Point{point("a", 1, 1)}, 0)
	wantCode(t, err, api.OutcomeUnknown)
	if c.Proposals(group) != 1 {
		t.Fatalf("%d proposals, want the one whose answer was lost", c.Proposals(group))
	}
	c.OnCall(func(string, string, gateway.Method) (error, error) { return gateway.ErrUnreachable, nil })
	_, err = from.Write(t.Context(), []storage.Point{point("a", 2, 1)}, 0)
	// The last try was there, or at the node itself: both say that it was not applied.
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Code != api.NotApplied && e.Code != api.NoLeader || e.Status != 503 {
		t.Fatalf("got %v", err)
	}
}

func TestUnknownIsAnsweredAtOnceWhileOtherGroupsHang(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{WriteTimeout: time.Minute})
	bad := groupOf("a")
	c.OnPropose(func(_ string, g uint32) error {
		if g == bad {
			return fakecluster.ErrAppliedUnknown
		}
		return fakecluster.ErrHang
	})
	var batch []storage.Point
	for i := range 50 {
		batch = append(batch, point(fmt.Sprintf("dev-%d", i), 1, 1))
	}
	batch = append(batch, point("a", 1, 1))
	begin := time.Now()
	_, err := c.Nodes[int(bad)%3].Gateway.Write(t.Context(), batch, 0)
	wantCode(t, err, api.OutcomeUnknown)
	if d := time.Since(begin); d > 10*time.Second {
		t.Fatalf("answered after %s", d)
	}
}

func TestHangingProposalIsUnknownAtTheDeadline(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{WriteTimeout: 200 * time.Millisecond})
	c.OnPropose(func(string, uint32) error { return fakecluster.ErrHang })
	for _, n := range c.Nodes {
		_, err := n.Gateway.Write(t.Context(), []storage.Point{point("a", 1, 1)}, 0)
		wantCode(t, err, api.OutcomeUnknown)
	}
}

func TestRefusalsTellWhatIsTrueOfTheWholeBatch(t *testing.T) {
	groups := []string{"a", "b", "c", "e", "f"} // several groups
	tests := []struct {
		name    string
		outcome error
		all     bool // in every group
		want    api.Code
		status  int
	}{
		{"busy everywhere", gateway.ErrBusy, true, api.Busy, 429},
		{"full everywhere", gateway.ErrNoSpace, true, api.NoSpace, 507},
		{"busy in one group while the others applied", gateway.ErrBusy, false, api.PartlyApplied, 504},
		{"no leader in one group while the others applied", &gateway.NotLeaderError{}, false, api.PartlyApplied, 504},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := fakecluster.New(t, fakecluster.Options{WriteTimeout: 200 * time.Millisecond})
			bad := groupOf("a")
			c.OnPropose(func(_ string, g uint32) error {
				if tt.all || g == bad {
					return tt.outcome
				}
				return nil
			})
			var batch []storage.Point
			for _, d := range groups {
				batch = append(batch, point(d, 1, 1))
			}
			_, err := c.Nodes[0].Gateway.Write(t.Context(), batch, 0)
			if e := wantCode(t, err, tt.want); e.Status != tt.status {
				t.Fatalf("status %d, want %d", e.Status, tt.status)
			}
		})
	}
}

func TestInvalidPointRefusesTheWholeBatch(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	g := c.Nodes[0].Gateway
	nan := point("x", 1, math.NaN())
	twice := point("x", 1, 1)
	twice.Fields = append(twice.Fields, twice.Fields[0])
	empty := point("x", 1, 1)
	empty.Fields = nil
	huge := point("x", 1, 1)
	huge.Fields = nil
	for i := range 10 {
		huge.Fields = append(huge.Fields, storage.Field{Name: fmt.Sprint(i), Value: blocks.Text(string(make([]byte, 60<<10)))})
	}
	for name, bad := range map[string]storage.Point{
		"NaN": nan, "a field twice": twice, "no field": empty, "no device": point("", 1, 1), "beyond a proposal": huge,
		"a bad database": {Series: storage.Series{Database: "d d", Collection: "c", Device: "x"}, Fields: twice.Fields[:1]},
	} {
		_, err := g.Write(t.Context(), []storage.Point{point("good", 1, 1), bad}, 0)
		e := wantCode(t, err, api.InvalidPoints)
		if e.Status != 400 || len(e.Points) != 1 || e.Points[0].Index != 1 || e.Points[0].Reason == "" {
			t.Errorf("%s: problem %+v", name, e.Problem)
		}
	}
	many := make([]storage.Point, 10_001)
	for i := range many {
		many[i] = point("x", int64(i), 1)
	}
	_, err := g.Write(t.Context(), many, 0)
	wantCode(t, err, api.TooLarge)
	if got := read(t, g); len(got) != 0 {
		t.Fatalf("something was written: %v", got)
	}
}

func TestStampsRiseAndComeBackEvenWhenUnknown(t *testing.T) {
	now := time.Unix(1000, 0)
	c := fakecluster.New(t, fakecluster.Options{Now: func() (time.Time, error) { return now, nil }})
	g := c.Nodes[0].Gateway
	batch := []storage.Point{point("a", api.NoTime, 1), point("a", 5, 2), point("a", api.NoTime, 3)}
	w, err := g.Write(t.Context(), batch, 0)
	if err != nil {
		t.Fatal(err)
	}
	if len(w.Stamps) != 2 || w.Stamps[0].Index != 0 || w.Stamps[1].Index != 2 || w.Stamps[0].Time != now.UnixNano() || w.Stamps[1].Time <= w.Stamps[0].Time {
		t.Fatalf("stamps %+v", w.Stamps)
	}
	if got := read(t, g)["a"]; !slices.Equal(got, []int64{5, w.Stamps[0].Time, w.Stamps[1].Time}) {
		t.Fatalf("stored %v", got)
	}
	c.OnPropose(func(string, uint32) error { return fakecluster.ErrAppliedUnknown })
	w, err = g.Write(t.Context(), []storage.Point{point("a", api.NoTime, 1)}, 0)
	wantCode(t, err, api.OutcomeUnknown)
	if len(w.Stamps) != 1 {
		t.Fatal("an unknown write must give its stamps back")
	}
}

// Stamps rise over a clock that is set back a little; one that was wrong by
// much and is right again is believed.
func TestStampsFollowAClockThatWasSetRight(t *testing.T) {
	now := time.Unix(10_000, 0)
	c := fakecluster.New(t, fakecluster.Options{Nodes: 1, Now: func() (time.Time, error) { return now, nil }})
	stamp := func() int64 {
		t.Helper()
		w, err := c.Nodes[0].Gateway.Write(t.Context(), []storage.Point{point("a", api.NoTime, 1)}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return w.Stamps[0].Time
	}
	first := stamp()
	now = now.Add(-300 * time.Millisecond)
	if next := stamp(); next <= first {
		t.Errorf("%d after %d", next, first)
	}
	now = now.Add(-time.Hour)
	if next := stamp(); next != now.UnixNano() {
		t.Errorf("the clock is %d, the stamp %d", now.UnixNano(), next)
	}
}

func TestNodeWithAWrongClockDoesNotStamp(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{Now: func() (time.Time, error) { return time.Time{}, errors.New("2 s off") }})
	g := c.Nodes[0].Gateway
	_, err := g.Write(t.Context(), []storage.Point{point("a", api.NoTime, 1)}, 0)
	wantCode(t, err, api.ClockOff)
	if _, err := g.Write(t.Context(), []storage.Point{point("a", 7, 1)}, 0); err != nil {
		t.Fatalf("points with times need no clock: %v", err)
	}
}

func TestDatabasesAndGroupsComeIntoBeingWithTheFirstWrite(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{Unassigned: true})
	g := c.Nodes[0].Gateway
	if got := read(t, g); len(got) != 0 || len(c.Born()) != 0 {
		t.Fatalf("a read made something: %v, groups %v", got, c.Born())
	}
	p := point("a", 1, 1)
	p.Database = "new"
	if _, err := g.Write(t.Context(), []storage.Point{p}, 0); err != nil {
		t.Fatal(err)
	}
	if want := []uint32{storage.GroupOf("new", "c", "a", fakecluster.TotalGroups)}; !slices.Equal(c.Born(), want) {
		t.Fatalf("born %v, want %v", c.Born(), want)
	}
	no := false
	c = fakecluster.New(t, fakecluster.Options{AutoCreate: &no})
	_, err := c.Nodes[0].Gateway.Write(t.Context(), []storage.Point{p}, 0)
	if e := wantCode(t, err, api.DatabaseNotFound); e.Status != 404 {
		t.Fatalf("status %d", e.Status)
	}
}

func TestMetaGroupAwayMeansNotAppliedForNewGroupsOnly(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{Unassigned: true, WriteTimeout: 200 * time.Millisecond})
	g := c.Nodes[0].Gateway
	if _, err := g.Write(t.Context(), []storage.Point{point("a", 1, 1)}, 0); err != nil {
		t.Fatal(err)
	}
	c.SetMetaDown(true)
	if _, err := g.Write(t.Context(), []storage.Point{point("a", 2, 1)}, 0); err != nil {
		t.Fatalf("a known group needs no meta group: %v", err)
	}
	device := "b"
	for i := 0; groupOf(device) == groupOf("a"); i++ {
		device = fmt.Sprint("b", i)
	}
	_, err := g.Write(t.Context(), []storage.Point{point(device, 1, 1)}, 0)
	wantCode(t, err, api.NoLeader)
}

func TestPartsOfOneGroupKeepTheirOrder(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	g := c.Nodes[0].Gateway
	var batch []storage.Point
	text := string(make([]byte, 60<<10))
	for i := range 60 { // several proposals; the last value of time 0 must win
		p := point("a", 0, float64(i))
		p.Fields = append(p.Fields, storage.Field{Name: "s", Value: blocks.Text(text)})
		batch = append(batch, p)
	}
	if _, err := g.Write(t.Context(), batch, 0); err != nil {
		t.Fatal(err)
	}
	if n := c.Proposals(groupOf("a")); n < 2 {
		t.Fatalf("%d proposals, want several", n)
	}
	err := g.Query(t.Context(), gateway.Query{Database: "d", Collection: "c", Devices: []string{"a"}, Fields: []string{"v"}, From: storage.MinTime, To: storage.NoEnd},
		func(_ string, cols *blocks.Columns) error {
			if v, _ := cols.Cols[0].Value(0); v.Float64() != 59 {
				t.Errorf("value %v, want that of the last point", v)
			}
			return nil
		})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCallerThatGoesAwayLeavesNothingBehind(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{WriteTimeout: time.Minute})
	c.SetLeader(groupOf("a"), "")
	ctx, cancel := context.WithCancel(t.Context())
	c.OnCall(func(string, string, gateway.Method) (error, error) { cancel(); return nil, nil })
	_, err := c.Nodes[0].Gateway.Write(ctx, []storage.Point{point("a", 1, 1)}, 0)
	if code := api.CodeOf(err); code != api.Cancelled && code != api.OutcomeUnknown {
		t.Fatalf("got %v", err)
	}
}

func TestDeletesAreExactAndTouchOnlyTheirGroups(t *testing.T) {
	c := fakecluster.New(t, fakecluster.Options{})
	g := c.Nodes[0].Gateway
	var batch []storage.Point
	for i := range 20 {
		for at := range int64(10) {
			batch = append(batch, point(fmt.Sprintf("dev-%d", i), at, 1))
		}
	}
	if _, err := g.Write(t.Context(), batch, 0); err != nil {
		t.Fatal(err)
	}
	n, err := g.Delete(t.Context(), gateway.Delete{Database: "d", Collection: "c", Devices: []string{"dev-3"}, From: 2, To: 5})
	if err != nil || n != 1 {
		t.Fatalf("Delete = %d, %v", n, err)
	}
	got := read(t, c.Nodes[2].Gateway)
	if want := []int64{0, 1, 5, 6, 7, 8, 9}; !slices.Equal(got["dev-3"], want) || len(got["dev-4"]) != 10 {
		t.Fatalf("dev-3 %v, dev-4 %v", got["dev-3"], got["dev-4"])
	}
	if n, err = g.Delete(t.Context(), gateway.Delete{Database: "d", Collection: "c", From: storage.MinTime, To: storage.NoEnd}); err != nil || n != fakecluster.TotalGroups {
		t.Fatalf("Delete = %d, %v", n, err)
	}
	if got := read(t, g); len(got) != 0 {
		t.Fatalf("left: %v", got)
	}
	_, err = g.Delete(t.Context(), gateway.Delete{Database: "nope", Collection: "c", From: 0, To: 1})
	wantCode(t, err, api.DatabaseNotFound)
	_, err = g.Delete(t.Context(), gateway.Delete{Database: "d", Collection: "c", From: 1, To: 1})
	wantCode(t, err, api.InvalidArgument)
}
