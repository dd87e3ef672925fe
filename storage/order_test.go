package storage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// model is the state by definition: the log applied point by point to a map.
type model struct{ all contents }

func (m *model) put(points []Point) {
	for _, p := range points {
		for _, f := range p.Fields {
			m.all.set(p.Series, p.Time, f.Name, f.Value)
		}
	}
}

func (m *model) delete(d Delete) {
	for s, points := range m.all {
		if s.Database != d.Database || d.Collection != "" && s.Collection != d.Collection || d.Device != "" && s.Device != d.Device {
			continue
		}
		for at := range points {
			if d.From <= at && at < d.To {
				delete(points, at)
			}
		}
	}
}

func drawValue(t *rapid.T) blocks.Value {
	n := rapid.IntRange(-300, 300).Draw(t, "n")
	switch rapid.SampledFrom([]blocks.Kind{1, 1, 1, 1, 2, 3, 4, 5}).Draw(t, "kind") {
	case blocks.Int64:
		return blocks.Int(int64(n))
	case blocks.Uint64:
		return blocks.Uint(uint64(n + 300))
	case blocks.Bool:
		return blocks.Boolean(n > 0)
	case blocks.String:
		return blocks.Text(fmt.Sprint("text", n))
	}
	return blocks.Float(float64(n) / 100)
}

func drawSeries(t *rapid.T) Series {
	return Series{rapid.SampledFrom([]string{"db", "d"}).Draw(t, "db"), rapid.SampledFrom([]string{"c", "c:x"}).Draw(t, "c"),
		rapid.SampledFrom([]string{"1", "2", "x:1"}).Draw(t, "device")}
}

// drawTime draws times in a few windows around 1970, a few of them equal.
func drawTime(t *rapid.T, name string) int64 {
	return rapid.Int64Range(-30, 30).Draw(t, name) * int64(time.Second)
}

func drawPoints(t *rapid.T) []Point {
	points := make([]Point, rapid.IntRange(1, 12).Draw(t, "points"))
	for i := range points {
		points[i] = Point{Series: drawSeries(t), Time: drawTime(t, "time")}
		for range rapid.IntRange(1, 3).Draw(t, "fields") {
			name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "field")
			points[i].Fields = append(points[i].Fields, Field{Name: name, Value: drawValue(t)})
		}
	}
	return points
}

func drawDelete(t *rapid.T) Delete {
	d := Delete{Series: drawSeries(t), From: drawTime(t, "from"), To: drawTime(t, "to")}
	switch rapid.IntRange(0, 5).Draw(t, "scope") {
	case 0:
		d.Collection, d.Device = "", ""
	case 1, 2:
		d.Device = ""
	}
	if rapid.IntRange(0, 3).Draw(t, "ends") == 0 {
		d.From, d.To = MinTime, NoEnd
	}
	return d
}

// orderRun drives two shards with one log: `busy` flushes, freezes, cuts, merges, dies and reopens at random, `calm`
// keeps all in its head. Both must read like the model at every step, and give one root at a cut.
type orderRun struct {
	t          *testing.T
	rt         *rapid.T
	busy, calm *Shard
	options    Options
	model      model
	log        []Entry
	cuts       int
}

func (r *orderRun) apply(data []byte) {
	e := Entry{Index: uint64(len(r.log) + 1), Term: 1, Data: data}
	r.log = append(r.log, e)
	for _, s := range []*Shard{r.busy, r.calm} {
		if err := s.Apply([]Entry{e})[0]; err != nil {
			r.rt.Fatal(err)
		}
	}
}

func (r *orderRun) step() {
	switch rapid.IntRange(0, 15).Draw(r.rt, "op") {
	case 0, 1, 2, 3, 4, 5, 6:
		points := drawPoints(r.rt)
		r.model.put(points)
		r.apply(AppendPut(nil, points))
	case 7, 8:
		d := drawDelete(r.rt)
		r.model.delete(d)
		r.apply(AppendDelete(nil, d))
	case 9:
		before := rapid.Int64Range(-3, 2).Draw(r.rt, "before")
		r.model.delete(Delete{Series: Series{Database: "db"}, From: MinTime, To: WindowStart(before, int64(testWindow))})
		r.apply(AppendRetain(nil, "db", before))
	case 10, 11:
		r.flush(r.busy)
	case 12: // frozen heads of which none is flushed yet
		r.busy.mu.Lock()
		if len(r.busy.frozen) < MaxFrozen {
			r.busy.freeze()
		}
		r.busy.mu.Unlock()
	case 13:
		r.sameRoot()
	case 14:
		r.reopen()
	case 15:
		r.crash()
	}
}

func (r *orderRun) flush(s *Shard) {
	if _, err := s.Flush(context.Background()); err != nil {
		r.rt.Fatal(err)
	}
}

func (r *orderRun) sameRoot() {
	r.cuts++
	id := fmt.Sprint("cut-", r.cuts)
	r.apply(AppendCut(nil, Cut{ID: id, TTL: time.Hour}))
	a, b := r.rootAt(r.busy, id), r.rootAt(r.calm, id)
	if a != b {
		r.rt.Fatalf("I4: roots at one cut: %s and %s", a, b)
	}
	r.apply(AppendEnd(nil, id))
}

func (r *orderRun) rootAt(s *Shard, id string) string {
	v, err := s.AwaitView(context.Background(), id)
	if err != nil {
		r.rt.Fatal(err)
	}
	root, _, err := v.Root(context.Background())
	if err != nil {
		r.rt.Fatal(err)
	}
	again, _, err := v.ReadRoot(context.Background())
	if err != nil || root != again {
		r.rt.Fatalf("stored digests give %s, blocks give %s, %v", root, again, err)
	}
	return root.String()
}

func (r *orderRun) reopen() {
	if err := r.busy.Close(); err != nil {
		r.rt.Fatal(err)
	}
	r.open()
}

// crash goes on with a copy of the file as it is, while the old process never gets to flush.
func (r *orderRun) crash() {
	bytes, err := copyQuiet(r.busy)
	if err != nil {
		r.rt.Fatal(err)
	}
	if err := r.busy.Close(); err != nil {
		r.rt.Fatal(err)
	}
	if err := os.WriteFile(r.options.Path, bytes, 0o600); err != nil {
		r.rt.Fatal(err)
	}
	r.open()
}

// copyQuiet is the file between two commits: a read transaction's copy.
func copyQuiet(s *Shard) ([]byte, error) {
	tx, err := s.file.begin()
	if err != nil {
		return nil, err
	}
	defer s.file.end(tx)
	var b writer
	_, err = tx.WriteTo(&b)
	return b, err
}

type writer []byte

func (w *writer) Write(b []byte) (int, error) { *w = append(*w, b...); return len(b), nil }

func (r *orderRun) open() {
	var err error
	if r.busy, err = OpenShard(r.options); err != nil {
		r.rt.Fatal(err)
	}
	if errs := r.busy.Apply(r.log); errs[len(errs)-1] != nil {
		r.rt.Fatal(errs)
	}
}

func TestI4MergeOrderIsTheLogs(t *testing.T) {
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		dir := filepath.Join(t.TempDir(), fmt.Sprint(runs))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			rt.Fatal(err)
		}
		o := Options{Path: filepath.Join(dir, "busy.db"), Identity: testIdentity, Window: testWindow, InitialMmapSize: 16 << 20,
			MaxParts: rapid.IntRange(1, 4).Draw(rt, "parts"), Fatal: func(err error) { t.Error(err) }}
		r := &orderRun{t: t, rt: rt, options: o, model: model{all: contents{}}}
		var err error
		o.Damaged = func(err error) { t.Errorf("%v\n%s", err, err.(*DamageError).Stack) }
		r.options = o
		if r.busy, err = OpenShard(o); err != nil {
			rt.Fatal(err)
		}
		o.Path = filepath.Join(dir, "calm.db")
		if r.calm, err = OpenShard(o); err != nil {
			rt.Fatal(err)
		}
		defer func() {
			_ = r.busy.Close()
			_ = r.calm.Close()
		}()
		r.apply(AppendNoop(nil))
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			r.step()
			compare(t, "busy", readAll(t, r.busy, len(r.log)%2 == 0), r.model.all)
		}
		compare(t, "calm", readAll(t, r.calm, false), r.model.all)
		r.sameRoot()
		if err := r.busy.Check(context.Background()); err != nil {
			rt.Fatal(err)
		}
	})
}
