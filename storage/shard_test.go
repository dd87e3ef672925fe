package storage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/flotilla-db/flotilla/storage/blocks"
	"github.com/flotilla-db/flotilla/storage/digest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testWindow = 10 * time.Second

var testIdentity = Identity{ClusterID: "c", Group: 7, Lineage: "l"}

func testOptions(t testing.TB) Options {
	t.Helper()
	return Options{Path: filepath.Join(t.TempDir(), "shard.db"), Identity: testIdentity, Window: testWindow, InitialMmapSize: 64 << 20,
		Fatal: func(err error) { t.Errorf("fatal: %v", err) }}
}

// waitFor waits until a condition holds.
func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited for a minute")
		}
	}
}

func mustOpen(t testing.TB, o Options) *Shard {
	t.Helper()
	s, err := OpenShard(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// apply applies one entry behind the last, and fails the test when it is refused.
func apply(t testing.TB, s *Shard, data []byte) uint64 {
	t.Helper()
	index := s.Applied().Index + 1
	if err := s.Apply([]Entry{{Index: index, Term: 1, Data: data}})[0]; err != nil {
		t.Fatal(err)
	}
	return index
}

func point(device string, time int64, fields ...any) Point {
	p := Point{Series: Series{"db", "c", device}, Time: time}
	for i := 0; i < len(fields); i += 2 {
		f := Field{Name: fields[i].(string)}
		switch v := fields[i+1].(type) {
		case float64:
			f.Value = blocks.Float(v)
		case int:
			f.Value = blocks.Int(int64(v))
		case string:
			f.Value = blocks.Text(v)
		case bool:
			f.Value = blocks.Boolean(v)
		default:
			panic(fmt.Sprintf("no kind for %T", v))
		}
		p.Fields = append(p.Fields, f)
	}
	return p
}

// contents is all that a shard holds, by series and time.
type contents map[Series]map[int64]map[string]blocks.Value

func readAll(t testing.TB, s *Shard, down bool) contents {
	t.Helper()
	all := contents{}
	list, err := s.Series("", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, series := range list {
		err := s.Scan(context.Background(), Query{Series: series, From: MinTime, To: NoEnd, Descending: down}, all.add(t, down))
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// add collects chunks, and checks that they come in order.
func (c contents) add(t testing.TB, down bool) func(Series, *blocks.Columns) error {
	var series Series
	var last int64
	return func(s Series, cols *blocks.Columns) error {
		if err := cols.Check(); err != nil {
			t.Errorf("scan of %v: %v", s, err)
		}
		n := cols.Len()
		if s == series && (!down && cols.Times[0] <= last || down && cols.Times[n-1] >= last) {
			t.Errorf("scan of %v: chunk %d..%d behind %d", s, cols.Times[0], cols.Times[n-1], last)
		}
		if series, last = s, cols.Times[n-1]; down {
			last = cols.Times[0]
		}
		for row, at := range cols.Times {
			for name, v := range cols.Row(row) {
				c.set(s, at, name, v)
			}
		}
		return nil
	}
}

func (c contents) set(s Series, at int64, name string, v blocks.Value) {
	if c[s] == nil {
		c[s] = map[int64]map[string]blocks.Value{}
	}
	if c[s][at] == nil {
		c[s][at] = map[string]blocks.Value{}
	}
	c[s][at][name] = v
}

func pinCut(t testing.TB, s *Shard, id string) *View {
	t.Helper()
	apply(t, s, AppendCut(nil, Cut{ID: id, Purpose: "test", TTL: time.Hour}))
	v, err := s.AwaitView(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func rootOf(t testing.TB, s *Shard, id string) digest.ID {
	t.Helper()
	v := pinCut(t, s, id)
	root, _, err := v.Root(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := v.ReadRoot(context.Background())
	if err != nil || again != root {
		t.Fatalf("root %s, computed anew %s, %v", root, again, err)
	}
	apply(t, s, AppendEnd(nil, id))
	return root
}

func TestShardGivesBackWhatWasPut(t *testing.T) {
	o := testOptions(t)
	s := mustOpen(t, o)
	want := contents{}
	var points []Point
	for i := range 100 {
		at := int64(i-50) * int64(time.Second)
		points = append(points, point(fmt.Sprint("dev-", i%7), at, "a", float64(i)/100, "s", fmt.Sprint(i), "n", -i, "b", i%2 == 0))
		for _, f := range points[i].Fields {
			want.set(points[i].Series, at, f.Name, f.Value)
		}
	}
	apply(t, s, AppendPut(nil, points))
	compare(t, "in the head", readAll(t, s, false), want)
	if _, err := s.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	compare(t, "flushed", readAll(t, s, false), want)
	compare(t, "descending", readAll(t, s, true), want)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	compare(t, "reopened", readAll(t, s, false), want)
	if got := s.Applied(); got != (Position{1, 1}) {
		t.Fatalf("applied %v", got)
	}
	if err := s.Check(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func compare(t testing.TB, when string, got, want contents) {
	t.Helper()
	for s, points := range want {
		for at, fields := range points {
			for name, v := range fields {
				if g, ok := got[s][at][name]; g != v {
					t.Fatalf("%s: %v at %d, %s: got %v (%v), want %v", when, s, at, name, g, ok, v)
				}
			}
		}
	}
	for s, points := range got {
		for at, fields := range points {
			for name, v := range fields {
				if _, ok := want[s][at][name]; !ok {
					t.Fatalf("%s: %v at %d, %s: got %v, want nothing", when, s, at, name, v)
				}
			}
		}
	}
}

func TestI3AppliedRisesStrictlyAndSkipsWhatIsApplied(t *testing.T) {
	o := testOptions(t)
	s := mustOpen(t, o)
	first := AppendPut(nil, []Point{point("d", 1, "v", 1)})
	second := AppendPut(nil, []Point{point("d", 1, "v", 2)})
	entries := []Entry{{Index: 3, Term: 1, Data: first}, {Index: 5, Term: 2, Data: second}}
	for _, err := range s.Apply(entries) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Applied(); got != (Position{5, 2}) {
		t.Fatalf("applied %v", got)
	}
	s.Apply([]Entry{{Index: 3, Term: 1, Data: first}, {Index: 4, Term: 1, Data: first}, {Index: 5, Term: 2, Data: first}})
	want := contents{}
	want.set(Series{"db", "c", "d"}, 1, "v", blocks.Int(2))
	compare(t, "after a repeat", readAll(t, s, false), want)
	if got := s.Applied(); got != (Position{5, 2}) {
		t.Fatalf("applied %v after a repeat", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	s.Apply([]Entry{{Index: 5, Term: 2, Data: first}})
	compare(t, "after a repeat behind a reopen", readAll(t, s, false), want)
}

func TestConfigurationAndLeasesSurviveReopen(t *testing.T) {
	o := testOptions(t)
	s := mustOpen(t, o)
	s.Apply([]Entry{{Index: 1, Term: 1, Config: true, Data: []byte("three voters")}})
	apply(t, s, AppendLease(nil, Lease{ID: "l1", Purpose: "resync", TTL: time.Hour}))
	apply(t, s, AppendLease(nil, Lease{ID: "l2", TTL: time.Hour}))
	apply(t, s, AppendLease(nil, Lease{ID: "l1", TTL: time.Hour})) // renewed: the index stays
	apply(t, s, AppendCut(nil, Cut{ID: "c1", TTL: time.Hour}))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, o)
	if c, i := s.Configuration(); string(c) != "three voters" || i != 1 {
		t.Fatalf("configuration %q at %d", c, i)
	}
	if d := s.Durable(); d.Index != 5 || string(d.Configuration) != "three voters" || d.ConfigurationIndex != 1 {
		t.Fatalf("durable %+v", d)
	}
	if floor, ok := s.LeaseFloor(); floor != 2 || !ok {
		t.Fatalf("floor %d %v", floor, ok)
	}
	if _, err := s.AwaitView(context.Background(), "c1"); !errors.Is(err, ErrNotPinned) {
		t.Fatalf("view of a cut made before the restart: %v", err)
	}
	apply(t, s, AppendEnd(nil, "l1"))
	if floor, ok := s.LeaseFloor(); floor != 3 || !ok {
		t.Fatalf("floor %d %v after the end of a lease", floor, ok)
	}
	apply(t, s, AppendEnd(nil, "l2"))
	if floor, ok := s.LeaseFloor(); ok {
		t.Fatalf("floor %d after the end of all leases", floor)
	}
}
