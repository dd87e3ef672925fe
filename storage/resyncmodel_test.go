package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flotilla-db/flotilla/storage/blocks"
)

// resyncRun copies a leader's cut to a target whose own history differs in any way, and goes on with both.
type resyncRun struct {
	*testing.T
	rt     *rapid.T
	dir    string
	leader *Shard
	log    []Entry // the leader's
	model  model   // what the leader holds
	target *Shard  // nil: none
}

// Failures are rapid's, so that it shrinks them.
func (r *resyncRun) Fatal(args ...any)            { r.rt.Helper(); r.rt.Fatal(args...) }
func (r *resyncRun) Fatalf(f string, args ...any) { r.rt.Helper(); r.rt.Fatalf(f, args...) }

// TestI4CopiedShardGoesOnLikeItsPeers: whatever the target held before and whatever the way, a shard that was copied at a
// cut is in every way at the cut, and equal to its peers at every cut that follows.
func TestI4CopiedShardGoesOnLikeItsPeers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "run")
		if err != nil {
			rt.Fatal(err)
		}
		r := &resyncRun{T: t, rt: rt, dir: dir, model: model{contents{}}}
		defer os.RemoveAll(dir)
		r.run()
	})
}

func (r *resyncRun) run() {
	r.leader = r.open("leader", "l")
	defer r.leader.Close()
	defer func() {
		if r.target != nil {
			_ = r.target.Close()
		}
	}()
	r.history("common")
	r.base()
	r.history("the leader's own")
	r.apply(AppendCut(nil, Cut{ID: "cut", TTL: time.Hour}))
	c := copyOf(r, r.view(r.leader, "cut"))
	r.history("during the copy")
	r.copy(c)
	r.target = r.open("target", "l")
	checkInstalled(r, r.target, c)
	r.follow()
	r.same("first")
	r.history("afterwards")
	r.follow()
	r.same("second")
}

// apply brings an entry to the leader.
func (r *resyncRun) apply(data []byte) {
	e := Entry{Index: uint64(len(r.log) + 1), Term: 1, Data: data}
	r.log = append(r.log, e)
	if err := r.leader.Apply([]Entry{e})[0]; err != nil {
		r.Fatal(err)
	}
}

// history applies random writes to the leader, some of them flushed apart.
func (r *resyncRun) history(name string) {
	for range rapid.IntRange(0, 8).Draw(r.rt, name) {
		r.apply(r.draw(&r.model))
		r.flush(r.leader)
	}
}

// draw is one write of any sort; m, if not nil, takes it too.
func (r *resyncRun) draw(m *model) []byte {
	if m == nil {
		m = &model{contents{}}
	}
	switch rapid.IntRange(0, 15).Draw(r.rt, "op") {
	case 0, 1:
		d := drawDelete(r.rt)
		m.delete(d)
		return AppendDelete(nil, d)
	case 2:
		before := rapid.Int64Range(-3, 2).Draw(r.rt, "before")
		m.delete(Delete{Series: Series{Database: "db"}, From: MinTime, To: WindowStart(before, int64(testWindow))})
		return AppendRetain(nil, "db", before)
	case 3: // more than one block of it
		p := Point{Series: drawSeries(r.rt), Time: drawTime(r.rt, "time")}
		points := make([]Point, blocks.MaxRows+rapid.IntRange(0, 50).Draw(r.rt, "more"))
		for i := range points {
			points[i] = p
			points[i].Time += int64(i)
			points[i].Fields = []Field{{Name: "a", Value: blocks.Int(int64(i))}}
		}
		m.put(points)
		return AppendPut(nil, points)
	}
	points := drawPoints(r.rt)
	m.put(points)
	return AppendPut(nil, points)
}

func (r *resyncRun) flush(s *Shard) {
	if rapid.IntRange(0, 2).Draw(r.rt, "flush") == 0 {
		if _, err := s.Flush(r.Context()); err != nil {
			r.Fatal(err)
		}
	}
}

func (r *resyncRun) open(name, lineage string) *Shard {
	o := Options{Path: filepath.Join(r.dir, name), Identity: Identity{"c", 7, lineage}, Window: testWindow, InitialMmapSize: 8 << 20,
		Fatal: func(err error) { r.Errorf("fatal: %v", err) }}
	s, err := OpenShard(o)
	if err != nil {
		r.Fatal(err)
	}
	return s
}

func (r *resyncRun) view(s *Shard, id string) *View {
	v, err := s.AwaitView(r.Context(), id)
	if err != nil {
		r.Fatal(err)
	}
	return v
}

// base makes the target's own history: none, that of another shard, or a part of the leader's and then its own.
func (r *resyncRun) base() {
	start := rapid.SampledFrom([]string{"wiped", "strange", "common"}).Draw(r.rt, "target")
	if start == "wiped" {
		return
	}
	r.target = r.open("target", rapid.SampledFrom([]string{"l", "other"}).Draw(r.rt, "lineage"))
	next := uint64(1)
	apply := func(data []byte) {
		if err := r.target.Apply([]Entry{{Index: next, Term: 1, Data: data}})[0]; err != nil {
			r.Fatal(err)
		}
		next++
		r.flush(r.target)
	}
	if start == "common" {
		for _, e := range r.log {
			apply(e.Data)
		}
	}
	for range rapid.IntRange(0, 6).Draw(r.rt, "divergence") {
		apply(r.draw(nil))
	}
}

func (r *resyncRun) stage() *Stage {
	s, err := OpenStage(StageOptions{Path: filepath.Join(r.dir, "stage"), Identity: testIdentity, Window: testWindow, InitialMmapSize: 8 << 20})
	if err != nil {
		r.Fatal(err)
	}
	return s
}

// copy brings the target's file to the cut: it fetches what is missing, proves it, and installs it in one of the ways, now
// and then twice.
func (r *resyncRun) copy(c cutCopy) {
	a := Assembly{Stage: r.stage(), Manifest: c.manifest}
	if r.target != nil {
		v, err := r.target.Look(r.Context())
		if err != nil {
			r.Fatal(err)
		}
		defer v.Close()
		a.Base = v
	}
	r.fetch(&a, c)
	c.prove(r, a)
	path, inPlace := filepath.Join(r.dir, "target"), a.Base != nil && rapid.Bool().Draw(r.rt, "in place")
	if a.Base != nil && !inPlace {
		if failed, err := a.Stage.CopyFrom(r.Context(), a.Base, c.manifest); err != nil || failed != nil {
			r.Fatal(failed, err)
		}
	}
	if r.target != nil {
		if err := r.target.Close(); err != nil {
			r.Fatal(err)
		}
	}
	install := func() error { return a.Stage.Seal(testIdentity, c.state, c.manifest) }
	if inPlace {
		install = func() error { return ApplyStage(path, a.Stage, testIdentity, c.state, c.manifest) }
	}
	for range rapid.IntRange(1, 2).Draw(r.rt, "times") {
		if err := install(); err != nil {
			r.Fatal(err)
		}
	}
	if err := a.Stage.Close(); err != nil {
		r.Fatal(err)
	}
	if !inPlace {
		if err := os.Rename(a.Stage.o.Path, path); err != nil {
			r.Fatal(err)
		}
	}
	if err := RemoveStage(a.Stage.o.Path); err != nil {
		r.Fatal(err)
	}
}

// fetch puts what is missing into the stage, now and then with a restart in the middle: what was committed is not fetched
// again.
func (r *resyncRun) fetch(a *Assembly, c cutCopy) {
	missing, err := a.Missing(r.Context())
	if err != nil {
		r.Fatal(err)
	}
	if n := len(missing); rapid.Bool().Draw(r.rt, "restart") {
		c.fetch(r, a.Stage, missing[n/2:])
		if err := a.Stage.Commit(); err != nil {
			r.Fatal(err)
		}
		c.fetch(r, a.Stage, missing[:n/2])
		if err := a.Stage.Close(); err != nil {
			r.Fatal(err)
		}
		a.Stage = r.stage()
		if missing, err = a.Missing(r.Context()); err != nil || len(missing) != n/2 {
			r.Fatalf("%d leaves to fetch after a restart, want %d, %v", len(missing), n/2, err)
		}
	}
	c.fetch(r, a.Stage, missing)
	if missing, err = a.Missing(r.Context()); err != nil || missing != nil {
		r.Fatal(missing, err)
	}
}

// follow brings the target the entries of the leader's log that it lacks.
func (r *resyncRun) follow() {
	for _, e := range r.log {
		if err := r.target.Apply([]Entry{e})[0]; err != nil {
			r.Fatal(err)
		}
		r.flush(r.target)
	}
}

// same makes sure that leader and target, and the model, are equal at a cut.
func (r *resyncRun) same(id string) {
	r.apply(AppendCut(nil, Cut{ID: id, TTL: time.Hour}))
	r.follow()
	a, b := copyOf(r, r.view(r.leader, id)), copyOf(r, r.view(r.target, id))
	if a.root != b.root || string(a.state) != string(b.state) {
		r.Fatalf("%s: leader %v, target %v; states %x and %x", id, a.root, b.root, a.state, b.state)
	}
	if err := r.target.Check(r.Context()); err != nil {
		r.Fatal(err)
	}
	exactTotals(r, r.target)
	compare(r, fmt.Sprint("target at ", id), readAll(r, r.target, false), r.model.all)
	want, err := r.leader.Series("", "")
	if err != nil {
		r.Fatal(err)
	}
	if got, err := r.target.Series("", ""); err != nil || !slices.Equal(got, want) {
		r.Fatalf("series %v, %v, want %v", got, err, want)
	}
	r.apply(AppendEnd(nil, id))
	r.follow()
}
