package resync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/internal/pause"
	"github.com/flotilla-db/flotilla/storage"
)

// rig runs jobs against a world, over restarts of the target's process.
type rig struct {
	*world
	dir     string
	meter   Meter
	at      func(s Stage, point string) // at each crash point; kill ends the process there
	dead    bool                        // the process that runs now was killed
	die     context.CancelFunc
	cancel  func() // as an operator does
	starts  int
	rows    []Row
	refuses int // updates that are not kept
	passed  map[string]int
	taken   map[Transition]int
	room    func() (int64, error)
	limit   int64 // of what comes into the node
	share   func() float64
	times   []time.Time   // of rows
	queued  time.Duration // that the target waits for its turn

	rowsMu sync.Mutex // guards rows, times, refuses
	writes int        // of the job's state
}

// inWorld runs a test in virtual time. What is left running at its end, or never ends, fails it.
func inWorld(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{world: newWorld(t), dir: filepath.Join(t.TempDir(), "staging"), passed: map[string]int{}, taken: map[Transition]int{}}
		defer r.close()
		test(t, r)
	})
}

func request7() Request {
	return Request{ID: "job-1", Group: testGroup, MaxPause: 50 * time.Millisecond, LeaderShare: 0.5}
}

// kill ends the process at a crash point: the goroutine goes no further.
func (r *rig) kill() {
	r.dead = true
	r.die()
	runtime.Goexit()
}

func (r *rig) engine() *Engine {
	replica := Replica(r.target)
	if r.queued > 0 {
		replica = queuedReplica{replica, r.queued}
	}
	return New(Config{Node: r.nodes[2].id, Replica: func(uint32) (Replica, error) { return replica, nil },
		Limit: func() int64 { return r.limit }, Share: r.share,
		StagingDir: func(uint32) string { return r.dir }, Caller: r.world, Fetcher: &fakeFetcher{r.world}, Jobs: r, Rates: &r.meter,
		Room: r.room, Logger: quiet(), Hooks: Hooks{Step: func(_ string, s Stage, point string) {
			r.passed[s.String()+" "+point]++
			if r.at != nil {
				r.at(s, point)
			}
		}, Change: func(_ string, t Transition) { r.taken[t]++ }, Write: func(string) error { r.writes++; return r.faults.write }}})
}

// run drives a job to its end, starting the process anew as often as it is killed.
func (r *rig) run(q Request) Result {
	r.t.Helper()
	for {
		result, killed := r.once(q, nil)
		if !killed {
			return result
		}
		r.restart()
		again, found, err := r.engine().Resume(testGroup)
		if err != nil {
			r.t.Fatal(err)
		}
		if !found { // killed at the very end: what was told holds
			return Result{Status: r.told(), Row: r.rows[len(r.rows)-1]}
		}
		if again.ID != q.ID {
			r.t.Fatalf("resumed as %s", again.ID)
		}
	}
}

// once runs one process. during is called beside the job.
func (r *rig) once(q Request, during func(*Engine, context.CancelFunc)) (result Result, killed bool) {
	life, die := context.WithCancel(context.Background())
	defer die()
	r.dead, r.die = false, die
	r.starts++
	e := r.engine()
	r.cancel = func() { e.Cancel(q.ID) }
	done := make(chan struct{})
	go func() {
		defer close(done)
		result = e.Run(life, q)
	}()
	if during != nil {
		during(e, die)
	}
	<-done
	return result, r.dead
}

// restart is what the end of the target's process does to it.
func (r *rig) restart() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target.hold = nil
	r.target.moved = time.Now()
}

// told is what the row's keeper was told durably that the job will have come to.
func (r *rig) told() Status {
	r.rowsMu.Lock()
	defer r.rowsMu.Unlock()
	return r.rows[len(r.rows)-1].Ending
}

// Update keeps rows, and what must hold of them.
func (r *rig) Update(row Row) error {
	r.rowsMu.Lock()
	defer r.rowsMu.Unlock()
	if r.refuses > 0 {
		r.refuses--
		return errors.New("rows cannot be kept now")
	}
	if n := len(r.rows); n > 0 && r.rows[n-1].Status.Final() {
		r.t.Errorf("a row after the final one: %+v", row)
	}
	if row.Status.Final() {
		r.mu.Lock()
		r.isOver(row)
		r.mu.Unlock()
	}
	r.rows, r.times = append(r.rows, row), append(r.times, time.Now())
	return nil
}

// isOver checks what must be so when a status is final. The caller holds the lock.
func (r *rig) isOver(row Row) {
	now := time.Now()
	for id, l := range r.leases {
		if ownedBy(row.ID, id) && now.Before(l.deadline) {
			r.t.Errorf("%s, and lease %s lives for %v", row.Status, id, l.deadline.Sub(now))
		}
	}
	for id, p := range r.pinned {
		if l := r.leases[id]; strings.HasPrefix(id, "pin") && p[max(r.leader, 0)] && l == nil && now.Before(r.views[id].until) && r.leader >= 0 {
			r.t.Errorf("%s, and record %s is pinned", row.Status, id)
		}
	}
	if r.held[row.ID] && r.leader >= 0 {
		r.t.Errorf("%s, and the leader holds a record", row.Status)
	}
	if row.DryRun {
		return
	}
	if _, err := os.Stat(r.dir); err == nil {
		r.t.Errorf("%s, and there is staging", row.Status)
	}
	if r.target.hold != nil {
		r.t.Errorf("%s, and the replica is held", row.Status)
	}
	if row.Ending != row.Status || row.FinishedAt.IsZero() || row.Report == nil || (row.Status == Done) != (row.Error == "") {
		r.t.Errorf("last row: %+v", row)
	}
}

// settle lets the log do what it can, and compares the replica with the truth at its index.
func (r *rig) settle() {
	r.t.Helper()
	_ = pause.For(context.Background(), 3*time.Minute)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target.advance()
	for _, v := range r.violations {
		r.t.Error(v)
	}
	if r.target.hasData && r.target.lineage == r.lineage && !r.target.data.equal(r.dataAt(r.target.applied)) {
		r.t.Errorf("the replica is not what the log says at %d", r.target.applied)
	}
}

// mustBe checks the end of a job.
func (r *rig) mustBe(got Result, want Status) {
	r.t.Helper()
	r.settle()
	if got.Status != want {
		r.t.Fatalf("%s (%v), want %s; stages: %s", got.Status, got.Err, want, r.path())
	}
	if want == Done && (r.target.applied < r.last() || r.target.lineage != r.lineage) {
		r.t.Fatalf("done, and the replica applied %d of %d", r.target.applied, r.last())
	}
}

// path is the stages that the rows show.
func (r *rig) path() string {
	var b strings.Builder
	last := Stage(0)
	for _, row := range r.rows {
		if row.Stage != last {
			fmt.Fprintf(&b, "%s ", row.Stage)
			last = row.Stage
		}
	}
	return b.String()
}

// stale makes the target lack n entries that the log does not have any more.
func (r *rig) stale(n int) {
	r.fall(n)
	r.trim()
}

// wiped makes the target hold nothing.
func (r *rig) wiped() {
	r.target.data, r.target.applied, r.target.term, r.target.hasData = contents{}, 0, 0, false
	r.trim()
}

// verdict is what the rows show last.
func (r *rig) verdict() string { return r.rows[len(r.rows)-1].Verdict }

// fakeFetcher pulls leaves from n1 and n2 in turn, each in a millisecond.
type fakeFetcher struct{ w *world }

// errLie has a source give wrong bytes.
var errLie = errors.New("lie")

func (f *fakeFetcher) Fetch(ctx context.Context, p FetchPlan, sink Sink, progress func(FetchProgress)) (result FetchResult, err error) {
	w := f.w
	dead, given, lost := map[string]bool{}, map[string]int64{}, 0
	defer func() {
		for name, n := range given {
			result.Sources = append(result.Sources, SourceBytes{name, n})
		}
	}()
	turn, total := 0, int64(0)
	for i := 0; i < len(p.Want); {
		if len(dead) == len(p.Sources) {
			if lost == len(dead) {
				return result, storage.ErrNotPinned
			}
			return result, errors.New("no source is left")
		}
		source := p.Sources[turn%len(p.Sources)]
		name := source.Server.Name
		if turn++; dead[name] {
			continue
		}
		if err := pause.For(ctx, time.Millisecond); err != nil {
			return result, err
		}
		w.mu.Lock()
		pinned, data, fault := w.pinnedAt(p.CutID, int(name[1]-'1')), w.views[p.CutID].data[p.Want[i].Leaf], w.faults.fetch
		w.mu.Unlock()
		if !pinned {
			dead[name] = true
			lost++
			continue
		}
		if fault != nil {
			err = fault(name, i)
		}
		if errors.Is(err, errLie) {
			data, err = append([]byte("lie"), data...), nil
		}
		if err == nil {
			err = sink(name, p.Want[i], data)
			if err != nil && !errors.Is(err, storage.ErrWrongContent) {
				return result, err
			}
			if err != nil {
				result.Blamed = append(result.Blamed, name)
			}
		}
		if err != nil {
			dead[name], err = true, nil
			continue
		}
		given[name] += int64(len(data))
		total += int64(len(data))
		progress(FetchProgress{Bytes: total, Sources: []SourceBytes{{name, given[name]}}})
		i++
	}
	return result, nil
}
