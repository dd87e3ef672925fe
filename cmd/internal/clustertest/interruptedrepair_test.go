package clustertest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node"
	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/storage"
	"github.com/flotilla-db/flotilla/walgap/antientropy"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// errHalted ends an install as the end of its process does.
var errHalted = errors.New("the process ends here")

// halt stops a repair at a point, until its node is crashed there.
type halt struct {
	mu      sync.Mutex
	at      string        // guarded by mu: "" nowhere
	reached chan struct{} // guarded by mu: closed at the point
	gate    chan struct{} // guarded by mu: closed when the process has ended
}

func (h *halt) arm(at string) (reached <-chan struct{}, open func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at, h.reached, h.gate = at, make(chan struct{}), make(chan struct{})
	return h.reached, sync.OnceFunc(func() { close(h.gate) })
}

// pass blocks where the repair is to stop; true: it was stopped.
func (h *halt) pass(point string) bool {
	h.mu.Lock()
	if point != h.at {
		h.mu.Unlock()
		return false
	}
	h.at = ""
	close(h.reached)
	gate := h.gate
	h.mu.Unlock()
	select {
	case <-gate:
	case <-time.After(gatePatience):
	}
	return true
}

func (h *halt) step(_ string, stage resync.Stage, point string) { h.pass(stage.String() + " " + point) }

func (h *halt) install(_ uint32, step string) error {
	if h.pass("install, " + step) {
		return errHalted
	}
	return nil
}

// truthful reads a device through every node that runs, again and again, and counts
// the answers that are not what was written.
type truthful struct {
	s      *rotScene
	device string
	stop   chan struct{}
	wg     sync.WaitGroup

	mu           sync.Mutex
	right, wrong int       // guarded by mu
	failed       int       // guarded by mu: through nodes that were up all the time
	example      string    // guarded by mu
	since        time.Time // guarded by mu: reads that began before do not count; zero: none does
}

func (s *rotScene) readOn(device string, clients []*client.Client) *truthful {
	r := &truthful{s: s, device: device, stop: make(chan struct{})}
	for i := range s.nodes {
		r.wg.Go(func() {
			for turn := 0; ; turn++ {
				select {
				case <-r.stop:
					return
				case <-time.After(oneWay / 2):
				}
				r.read(i, clients[i], turn%2 == 0)
			}
		})
	}
	return r
}

func (r *truthful) count() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() {
		r.since = time.Now()
	}
}

func (r *truthful) read(node int, k *client.Client, stale bool) {
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	began, up := time.Now(), r.s.nodes[node].Node()
	q := client.Query{Database: database, Collection: collection, Devices: []string{r.device}}
	if stale {
		q.Consistency = client.Stale
	}
	rows, bad := 0, ""
	err := k.Query(ctx, q, func(_ string, c *client.Columns) error {
		for row, at := range c.Times {
			v, hasValue := c.Lookup(row, field)
			what, hasText := c.Lookup(row, "text")
			if rows++; !hasValue || !hasText || v.Int64() != at-1 || what.Str != fmt.Sprintf("%s-%d", scarred, at-1) {
				bad = fmt.Sprintf("through %s, stale %v: at %d is %v, %q", r.s.nodes[node].Name, stale, at, v, what.Str)
			}
		}
		return nil
	})
	if bad == "" && err == nil && rows != scarredRows {
		bad = fmt.Sprintf("through %s, stale %v: %d points", r.s.nodes[node].Name, stale, rows)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.since.IsZero() || began.Before(r.since):
	case bad != "":
		r.wrong++
		r.example = bad
	case err == nil:
		r.right++
	case up != nil && up == r.s.nodes[node].Node():
		r.failed++
		r.example = err.Error()
	}
}

// end expects that reads went on all the time, and that none was wrong.
func (r *truthful) end(t *testing.T) {
	t.Helper()
	close(r.stop)
	r.wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	t.Logf("%d reads were right, %d wrong, %d failed: %s", r.right, r.wrong, r.failed, r.example)
	if r.wrong > 0 || r.right < 10 {
		t.Errorf("%d reads were right, %d wrong: %s", r.right, r.wrong, r.example)
	}
}

// A node dies in the middle of the repair of its replica, at each point that leaves
// something else behind. After its start the repair is taken up again and ends; what
// was replaced is kept once; and nobody is ever served the damage.
func TestRepairIsTakenUpAgainAfterACrash(t *testing.T) {
	points := []string{
		"",                  // the suspicion is durable, and nothing else is done
		"hold held",         // the replica is held
		"fetch gathered",    // all leaves are staged
		"install, stopped",  // the old bytes are kept, nothing is replaced
		"install, switched", // the leaves are replaced, and the log is not yet what it should be
		"replay watching",   // all is installed
		"ending swept",      // the job is over, and no check has been made yet
	}
	Run(t, 5*time.Minute, func(t *testing.T) {
		h := &halt{}
		s := newRotScene(t, func(_ int, c *config.Config) {
			c.Storage.AntiEntropy.Enabled, c.Storage.AntiEntropy.Interval, c.Storage.AntiEntropy.ScrubInterval = true, 24*time.Hour, 24*time.Hour
		}, func(c *Cluster) {
			c.options = func(_ int, o *node.Options) { o.SyncHooks.Step, o.InstallStep = h.step, h.install }
		})
		clients := make([]*client.Client, len(s.nodes))
		for i := range s.nodes {
			s.Delay(i, oneWay/10) // an accusation and what follows are not one moment
			clients[i] = s.Client(i)
		}
		for n, point := range points {
			for _, divergent := range []bool{false, true} {
				s.repairIsTakenUp(t, h, uint32(n), point, divergent, clients)
			}
		}
		if r := s.verify(t, api.VerifyRequest{Deep: true}); r.ExitCode() != 0 || r.GroupsEqual != r.GroupsTotal || len(r.Findings) != 0 {
			t.Errorf("in the end: %+v", r)
		}
		if _, err := s.CompareRoots(); err != nil {
			t.Error(err)
		}
	})
}

// repairIsTakenUp damages a replica, crashes its node at a point of the repair, and
// starts it again. A divergence is found by a check that another node is asked for, a
// flipped bit by a read, which the node itself has checked.
func (s *rotScene) repairIsTakenUp(t *testing.T, h *halt, group uint32, point string, divergent bool, clients []*client.Client) {
	t.Helper()
	what := fmt.Sprintf("group %d at %q, divergent %v", group, point, divergent)
	s.awaitLevel()
	victim := s.follower(t, group)
	g, _ := s.Group(victim, group)
	kept := len(s.exhibits(t, victim, group))
	reached, open := h.arm(point)
	defer open()
	reads := s.readOn(s.devices[group], clients)
	if divergent {
		if _, err := g.Shard().Spoil(t.Context(), storage.SpoilDivergent, func(n int) int { return n / 2 }); err != nil {
			t.Fatal(err)
		}
		asked := (victim + 1) % len(s.nodes)
		job, err := s.nodes[asked].Node().Gateway().Verify(t.Context(), api.VerifyRequest{Groups: []uint32{group}, Repair: true})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Await(what+": the check ends", 10*time.Minute, func() string {
			time.Sleep(lookPause)
			if job, err = s.nodes[asked].Node().Gateway().GetJob(t.Context(), job.ID); err != nil || !job.Final() {
				return fmt.Sprintf("%+v, %v", job, err)
			}
			return ""
		})
	} else {
		reads.count() // the damage can be told from what was written
		s.rotShard(t, victim, group)
	}
	s.Await(what+": the replica is suspect", time.Minute, func() string {
		if _, suspect := g.Suspicion(); !suspect {
			return "it is not"
		}
		return ""
	})
	reads.count()
	if point != "" {
		select {
		case <-reached:
		case <-time.After(time.Minute):
			t.Fatalf("%s: no repair got there", what)
		}
	}
	s.crashAt(victim, open)
	time.Sleep(time.Second)
	s.Start(victim)
	s.AwaitReady()
	took := s.Await(what+": it is mended", 5*time.Minute, func() string {
		time.Sleep(lookPause)
		return s.unmended(victim, group)
	})
	time.Sleep(time.Second)
	reads.end(t)
	folders := s.exhibits(t, victim, group)
	t.Logf("%s: mended after %v, evidence %q", what, took, folders[kept:])
	if len(folders) != kept+1 {
		t.Errorf("%s: the evidence is kept %d times", what, len(folders)-kept)
	}
	s.nothingIsLeft(group, viewsLive)
	s.isEqual(t, (victim+1)%len(s.nodes), group, antientropy.Options{Deep: true})
}

// crashAt crashes a node of which something is blocked that open lets go on.
func (s *rotScene) crashAt(node int, open func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Crash(node)
	}()
	synctest.Wait() // all of it that can end has
	open()
	<-done
}

// unmended says what is still to be done for a replica, "" for nothing.
func (s *rotScene) unmended(node int, group uint32) string {
	g, open := s.Group(node, group)
	if !open {
		return "closed"
	}
	if st := g.Status(); st.State.String() != api.ReplicaReady {
		return st.State.String() + ": " + st.Why
	}
	if what, suspect := g.Suspicion(); suspect {
		return fmt.Sprintf("%+v", what)
	}
	repaired := 0
	for _, j := range s.nodes[node].Node().Gateway().Jobs().All() {
		if j.Kind != api.JobRepair || j.GroupID == nil || *j.GroupID != group {
			continue
		}
		if !j.Final() {
			return fmt.Sprintf("%s: %s, %s", j.ID, j.Status, text(j.BlockedBy))
		}
		if j.Status == api.StatusDone {
			repaired++
		}
	}
	if repaired == 0 {
		return "no job of kind repair is done"
	}
	return s.leftBeside(node, group)
}

// leftBeside names what a repair has left in a group's folder that should go with it.
func (s *rotScene) leftBeside(node int, group uint32) string {
	entries, err := os.ReadDir(filepath.Join(s.nodes[node].Config.DataDir, "groups", fmt.Sprint(group)))
	if err != nil {
		return err.Error()
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".suspect") || strings.Contains(e.Name(), "intent") || e.Name() == "staging" {
			return e.Name()
		}
	}
	return ""
}

// exhibits are the folders of evidence of a replica, whole ones and others.
func (s *rotScene) exhibits(t *testing.T, node int, group uint32) (names []string) {
	t.Helper()
	g, _ := s.Group(node, group)
	folders, err := os.ReadDir(g.QuarantineDir())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for _, f := range folders {
		names = append(names, f.Name())
	}
	return names
}
