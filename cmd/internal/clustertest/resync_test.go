package clustertest

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// resyncs are the jobs of one node that bring replicas to equality.
func (c *Cluster) resyncs(i int) []api.Job {
	return slices.DeleteFunc(c.nodes[i].Node().Gateway().Jobs().All(), func(j api.Job) bool {
		return j.Kind != api.JobResync && j.Kind != api.JobMove
	})
}

// awaitResyncs waits until a node has that many jobs, all have ended, and every group is
// whole; it gives them by verdict. One that failed fails the test.
func (c *Cluster) awaitResyncs(t *testing.T, i, least int) map[string][]api.Job {
	t.Helper()
	took := c.Await("resyncs have ended", 3*time.Minute, func() string {
		open := 0
		jobs := c.resyncs(i)
		for _, j := range jobs {
			if !j.Final() {
				open++
			}
		}
		if open > 0 || len(jobs) < least {
			return fmt.Sprintf("%d of %d jobs are open", open, len(jobs))
		}
		return c.filled()
	})
	by := make(map[string][]api.Job)
	for _, j := range c.resyncs(i) {
		if j.Status != api.StatusDone {
			t.Errorf("job %s of group %d: %s: %s", j.ID, *j.GroupID, j.Status, text(j.Error))
		}
		by[text(j.Verdict)] = append(by[text(j.Verdict)], j)
	}
	t.Logf("%v: %d resyncs: %v", took, len(c.resyncs(i)), counts(by))
	return by
}

func counts(by map[string][]api.Job) map[string]int {
	out := make(map[string]int)
	for verdict, jobs := range by {
		out[verdict] = len(jobs)
	}
	return out
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// wipe empties the data directory of a node that is down.
func (c *Cluster) wipe(i int) {
	c.t.Helper()
	if err := os.RemoveAll(c.nodes[i].Config.DataDir); err != nil {
		c.t.Fatal(err)
	}
}

// copyWatch counts which jobs of a node are between hold and install, and lets a
// test stop one of them.
type copyWatch struct {
	mu      sync.Mutex
	copying map[string]bool // guarded by mu
	most    int             // guarded by mu
	at      func(job string, stage resync.Stage, point string)
}

func (w *copyWatch) hooks(i int) resync.Hooks {
	if i != 2 {
		return resync.Hooks{}
	}
	return resync.Hooks{Step: w.step}
}

func (w *copyWatch) step(job string, stage resync.Stage, point string) {
	w.mu.Lock()
	if w.copying == nil {
		w.copying = make(map[string]bool)
	}
	// A job may wait for its turn at the first point of its hold, and may have given it back before the first one behind
	// its install.
	waits, installed := stage == resync.Hold && point == "taking", stage == resync.Install && point == "switched"
	if w.copying[job] = stage >= resync.Hold && stage <= resync.Install && !waits && !installed; !w.copying[job] {
		delete(w.copying, job)
	}
	w.most = max(w.most, len(w.copying))
	at := w.at
	w.mu.Unlock()
	if at != nil {
		at(job, stage, point)
	}
}

// All groups of a node that lost its disk come back from the two others, under
// writes, with no more copies at once than is set; nothing acked is missing.
func TestWipedNodeIsCopiedFromBothOthersAFewGroupsAtOnce(t *testing.T) {
	Run(t, 10*time.Minute, func(t *testing.T) {
		watch := &copyWatch{}
		c := New(t, nil)
		c.hooks = watch.hooks
		for range 3 {
			c.Add()
		}
		c.AwaitReady()
		c.writeEverywhere(t, 12*totalGroups, false)
		l := c.NewLedger("wiped", ledgerDevices)
		end := c.Load(l, loadCallers, loadRate)
		time.Sleep(time.Second)
		c.Crash(2)
		c.wipe(2)
		c.Start(2)
		by := c.awaitResyncs(t, 2, totalGroups)
		end()
		if len(by["full"]) < mostGroups || len(by["delta"]) > 0 {
			t.Errorf("%v", counts(by))
		}
		gave := make(map[string]int64)
		fence := 0.0
		for _, j := range by["full"] {
			for _, s := range j.Sources {
				gave[s.Node] += s.Bytes
			}
			fence = max(fence, j.FenceMs)
		}
		t.Logf("bytes by source: %v; longest fence %.1f ms; at most %d copies at once; ready after %v more", gave, fence, watch.most, c.AwaitReady())
		if len(gave) != 2 {
			t.Errorf("bytes came from %v", slices.Collect(maps.Keys(gave)))
		}
		if limit := config.Defaults().Storage.Sync.MaxConcurrent; watch.most > limit || watch.most < 2 {
			t.Errorf("%d copies at once, allowed are %d", watch.most, limit)
		}
		c.CheckLedger(l, 2)
		if groups, err := c.CompareRoots(); err != nil || groups < mostGroups {
			t.Errorf("%d groups: %v", groups, err)
		}
	})
}

// A node that was away while the others wrote and trimmed copies what differs;
// nothing else does, and one that missed nothing makes no job.
func TestNodeBehindTheLogsCopiesWhatDiffers(t *testing.T) {
	Run(t, 10*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		c.writeEverywhere(t, 12*totalGroups, false)
		c.Await("the replicas are level", time.Minute, c.uneven)
		c.Stop(2) // what it holds is in its files
		c.AwaitLeaders(30 * time.Second)
		l := c.NewLedger("missed", ledgerDevices)
		end := c.Load(l, loadCallers, loadRate)
		time.Sleep(2 * time.Second)
		end()
		time.Sleep(5 * time.Second) // what was on its way to n3 has been given up
		c.trimAll(t, 0, 1)
		c.Start(2)
		by := c.awaitResyncs(t, 2, totalGroups/3)
		if len(by["delta"]) < totalGroups/3 || len(by["full"]) > 0 {
			t.Errorf("%v", counts(by))
		}
		t.Logf("ready after %v more", c.AwaitReady())
		c.CheckLedger(l, 2)
		if groups, err := c.CompareRoots(); err != nil || groups < mostGroups {
			t.Errorf("%d groups: %v", groups, err)
		}
	})
}

// A node that was away for a moment replays: each group that lacked something
// has a job that says so, and nothing is copied.
func TestNodeThatMissedALittleReplaysIt(t *testing.T) {
	Run(t, 10*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		c.writeEverywhere(t, 12*totalGroups, false)
		c.Await("the replicas are level", time.Minute, c.uneven)
		c.Stop(2)
		c.AwaitLeaders(30 * time.Second)
		if _, err := c.Client(0).Write(t.Context(), batch("born", 12*totalGroups, 7, 7)); err != nil {
			t.Fatal(err)
		}
		c.Start(2)
		by := c.awaitResyncs(t, 2, totalGroups)
		if len(by["replay"]) < totalGroups || len(by) != 1 {
			t.Errorf("%v", counts(by))
		}
	})
}

// The node dies in the middle of copies and comes back: the same jobs go on,
// and end.
func TestNodeThatDiesWhileItCopiesGoesOnWithTheSameJobs(t *testing.T) {
	Run(t, 10*time.Minute, func(t *testing.T) {
		watch := &copyWatch{}
		reached := make(chan struct{})
		var once sync.Once
		installs := 0
		watch.at = func(_ string, stage resync.Stage, point string) {
			watch.mu.Lock()
			defer watch.mu.Unlock()
			if stage == resync.Install && point == "challenged" {
				if installs++; installs == 20 {
					once.Do(func() { close(reached) })
				}
			}
		}
		c := New(t, nil)
		c.hooks = watch.hooks
		for range 3 {
			c.Add()
		}
		c.AwaitReady()
		c.writeEverywhere(t, 12*totalGroups, false)
		c.Crash(2)
		c.wipe(2)
		c.Start(2)
		<-reached
		before := make(map[string]api.Job)
		for _, j := range c.resyncs(2) {
			before[j.ID] = j
		}
		staged := c.staged(2)
		c.Crash(2)
		c.Start(2)
		by := c.awaitResyncs(t, 2, totalGroups)
		went := 0
		for _, j := range slices.Concat(slices.Collect(maps.Values(by))...) {
			if was, ok := before[j.ID]; ok && !was.Final() {
				went++
			}
		}
		t.Logf("%d jobs before, %d with staging, %d went on", len(before), len(staged), went)
		if len(staged) == 0 || went < len(staged) {
			t.Errorf("of %d jobs with staging %d went on under their id", len(staged), went)
		}
		for id, was := range before {
			if !slices.ContainsFunc(c.resyncs(2), func(j api.Job) bool { return j.ID == id }) {
				t.Errorf("job %s of group %d is not listed any more", id, *was.GroupID)
			}
		}
		if left := c.staged(2); len(left) > 0 {
			t.Errorf("staging is left of groups %v", left)
		}
		if groups, err := c.CompareRoots(); err != nil || groups < mostGroups {
			t.Errorf("%d groups: %v", groups, err)
		}
	})
}

// staged are the folders of staging on a node.
func (c *Cluster) staged(i int) []string {
	dirs, err := filepath.Glob(filepath.Join(c.nodes[i].Config.DataDir, "groups", "*", "staging"))
	if err != nil {
		c.t.Fatal(err)
	}
	return dirs
}

// A fourth node takes over replicas of some groups; those that gave them up keep
// nothing, and get them back later as new servers.
func TestFourthNodeTakesReplicasOverAndGivesThemBack(t *testing.T) {
	Run(t, 10*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		c.writeEverywhere(t, 8*totalGroups, false)
		l := c.NewLedger("moved", ledgerDevices)
		end := c.Load(l, loadCallers, loadRate)
		c.Add()
		c.AwaitReady()
		groups := []uint32{3, 17, 40, 63}
		move := func(from, to string) {
			t.Helper()
			var jobs []string
			for _, group := range groups {
				j, err := c.nodes[1].Node().Gateway().Move(t.Context(), gateway.MoveRequest{Group: group, A: from, B: to})
				if err != nil {
					t.Fatal(err)
				}
				jobs = append(jobs, j.ID)
			}
			took := c.Await("the moves have ended", 10*time.Minute, func() string {
				for _, id := range jobs {
					j, err := c.nodes[0].Node().Gateway().GetJob(t.Context(), id)
					if err != nil || !j.Final() {
						return fmt.Sprintf("%s: %s %s %s %v", id, j.Status, text(j.Stage), text(j.BlockedBy), err)
					}
					if j.Status != api.StatusDone || j.Kind != api.JobMove {
						t.Fatalf("%+v: %s", j, text(j.Error))
					}
				}
				return c.filled()
			})
			t.Logf("%d groups from %s to %s in %v", len(groups), from, to, took)
		}
		gone := func(i int) {
			t.Helper()
			c.Await("the data that was moved away are removed", time.Minute, func() string {
				for _, group := range groups {
					if _, ok := c.Group(i, group); ok {
						return fmt.Sprintf("group %d is open on n%d", group, i+1)
					}
					files, _ := filepath.Glob(filepath.Join(c.nodes[i].Config.DataDir, "groups", fmt.Sprint(group), "*"))
					if len(files) != 1 || !strings.HasSuffix(files[0], "removed") {
						return fmt.Sprintf("group %d on n%d left %v", group, i+1, files)
					}
				}
				return ""
			})
		}
		move("n3", "n4")
		gone(2)
		c.Crash(2) // and does not open them at its next start
		c.Start(2)
		c.AwaitReady()
		gone(2)
		move("n4", "n3")
		gone(3)
		for _, group := range groups {
			if g, ok := c.Group(2, group); !ok || g.Self().Generation == 0 {
				t.Errorf("group %d came back as %v: a voter that forgot its votes", group, g.Self())
			}
		}
		end()
		c.CheckLedger(l, 2)
		if n, err := c.CompareRoots(); err != nil || n < mostGroups {
			t.Errorf("%d groups: %v", n, err)
		}
	})
}

// A follower that is cut off while the others write and trim comes back by one
// job a group: its process never ended, so that nothing but the leaders' alarm
// says that it is behind.
func TestFollowerThatWasCutOffConvergesByOneJobAGroup(t *testing.T) {
	Run(t, 10*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, func(_ int, cfg *config.Config) { cfg.Storage.Sync.StartupSync = false })
		c.writeEverywhere(t, 12*totalGroups, false)
		c.Await("the replicas are level", time.Minute, c.uneven)
		c.Partition(2)
		c.AwaitLeaders(time.Minute)
		k := c.Client(0)
		for at := range int64(200) { // more than Raft has on its way to a peer that is silent
			c.Await("a write", time.Minute, func() string { // the node asked may take n3 for a leader yet
				if _, err := k.Write(t.Context(), batch("cut off", 40, 1000+at, at)); err != nil {
					return err.Error()
				}
				return ""
			})
		}
		away := 6 * time.Minute // so that the follower has flushed; each minute of 256 quiet groups costs seconds
		if times(t) > 1 {
			away = 10 * time.Minute
		}
		time.Sleep(away)
		c.trimAll(t, 0, 1)
		c.Heal()
		by := c.awaitResyncs(t, 2, 20)
		jobs := make(map[uint32]int)
		for _, j := range slices.Concat(slices.Collect(maps.Values(by))...) {
			if jobs[*j.GroupID]++; jobs[*j.GroupID] > 1 {
				t.Errorf("group %d has %d jobs", *j.GroupID, jobs[*j.GroupID])
			}
		}
		if len(by["full"]) > 0 || len(by["replay"]) > 0 {
			t.Errorf("%v", counts(by))
		}
		c.Await("every replica is ready", time.Minute, func() string {
			groups, err := c.nodes[0].Node().Gateway().Groups(t.Context())
			if err != nil {
				return err.Error()
			}
			for _, g := range groups {
				if !g.Healthy() {
					return fmt.Sprintf("%+v", g)
				}
			}
			return ""
		})
		if groups, err := c.CompareRoots(); err != nil || groups < mostGroups {
			t.Errorf("%d groups: %v", groups, err)
		}
	})
}
