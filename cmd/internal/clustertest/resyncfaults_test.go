package clustertest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// errDiskFull is what a full disk answers.
var errDiskFull error = syscall.ENOSPC

// strikeAfter is how many jobs have passed a point before a fault strikes there.
const strikeAfter = 20

// syncFault is what goes wrong while n3 copies. strike finds up to five jobs
// stopped at the point, opens the gate, and ends the fault again.
type syncFault struct {
	name   string
	stage  resync.Stage
	point  string
	before func(s *gapScene) // n3 is down
	strike func(s *gapScene)
	anew   bool // verdicts are taken once more, when the log may have closed the gaps that it can
}

const trims = "TrimMeanwhile"

var syncFaults = []syncFault{
	{name: "SourceDies", stage: resync.Fetch, point: "opened", strike: sourceDies},
	{name: "TargetDies", stage: resync.Install, point: "proven", strike: targetDies, anew: true},
	{name: "LeaderChanges", stage: resync.Cut, point: "pinned", strike: leaderChanges},
	{name: trims, stage: resync.Fetch, point: "opened", strike: trimMeanwhile},
	{name: "DiskFull", stage: resync.Fetch, point: "gathered", strike: diskFull, anew: true},
	{name: "CorruptedMessage", stage: resync.Fetch, point: "opened", before: corrupt, strike: corruptedMessage},
	{name: "Resume", stage: resync.Fetch, point: "gathered", strike: stopAndResume, anew: true},
}

func (s *gapScene) goOn() { close(s.watch.gate) }

// sourceDies kills a node that gives leaves and leads half of the groups.
func sourceDies(s *gapScene) {
	s.Crash(1)
	s.goOn()
	time.Sleep(10 * time.Second)
	s.Start(1)
}

func targetDies(s *gapScene) {
	s.goOn()
	s.Crash(2)
	time.Sleep(time.Second)
	s.Start(2)
}

// leaderChanges moves the leadership of every group that is copied.
func leaderChanges(s *gapScene) {
	var wg sync.WaitGroup
	moved := make(chan uint32, 2*len(s.devices))
	for i := range 2 {
		for _, g := range s.nodes[i].Node().Groups().Groups() {
			if classOf(g.ID()).copies() && g.IsLeader() {
				wg.Go(func() {
					if g.StepDown(context.Background()) == nil {
						moved <- g.ID()
					}
				})
			}
		}
	}
	wg.Wait()
	s.goOn()
	if len(moved) < totalGroups/5 {
		s.t.Errorf("%d leaders have changed", len(moved))
	}
}

// trimMeanwhile tries to take the log away from under the jobs. Those that were
// stopped at fetch hold a lease; where it lies the logs of both others stay whole.
// Others are at fetch when this begins, too: they go on, and end with their leases.
func trimMeanwhile(s *gapScene) {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	leased := make(map[uint32]bool)
	for _, j := range s.resyncs(2) {
		leased[*j.GroupID] = leased[*j.GroupID] || s.watch.stands(j.ID)
	}
	kept := 0
	for range 3 {
		for i := range 2 {
			for _, g := range s.nodes[i].Node().Groups().Groups() {
				if err := g.Trim(ctx); err != nil {
					s.t.Errorf("trim group %d: %v", g.ID(), err)
				}
				held := false
				for _, l := range g.Shard().Leases() {
					if held = held || l.Log; l.Log && g.Status().LogFirst > max(l.Floor(), l.Index) { // what went before the lease came is not its fault
						s.t.Errorf("group %d on %s: lease %s of entry %d keeps the log from %d on, it begins at %d", g.ID(), s.nodes[i].Name,
							l.ID, l.Index, l.Floor(), g.Status().LogFirst)
					}
				}
				if leased[g.ID()] && !held && g.IsLeader() { // a follower has it when it has the cut
					s.t.Errorf("group %d on %s: its job fetches, and no lease keeps the log", g.ID(), s.nodes[i].Name)
				} else if held {
					kept++
				}
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.goOn()
	if kept == 0 || !slices.Contains(slices.Collect(maps.Values(leased)), true) {
		s.t.Errorf("%d leases were met, and no job stopped: %v", kept, leased)
	}
}

// diskFull lets n3 write no more state of jobs. Jobs fail, and what was there
// stays as it was.
func diskFull(s *gapScene) {
	s.watch.set(func() { s.watch.full = true })
	s.goOn()
	s.awaitFailed(strikeAfter)
	s.watch.set(func() { s.watch.full = false })
}

// awaitFailed waits until some jobs of n3 have failed, for a reason, each with its
// replica as it was: that is looked at when it fails, since half a minute later the
// next job of the group may hold it.
func (s *gapScene) awaitFailed(least int) {
	s.t.Helper()
	seen := make(map[string]bool)
	s.Await("jobs fail", 5*time.Minute, func() string {
		for _, j := range s.resyncs(2) {
			if j.Status != api.StatusFailed || seen[j.ID] {
				continue
			}
			if seen[j.ID] = true; text(j.Error) == "" || text(j.Verdict) == "" {
				s.t.Errorf("job of group %d failed: verdict %q, error %q", *j.GroupID, text(j.Verdict), text(j.Error))
			}
			if len(seen) == 1 {
				s.t.Logf("one job failed with %q", text(j.Error))
			}
			s.stateIsIntact(*j.GroupID)
		}
		if len(seen) < least {
			return fmt.Sprintf("%d have", len(seen))
		}
		return ""
	})
}

// stateIsIntact checks that n3's replica of a group runs with what it held when
// it went away.
func (s *gapScene) stateIsIntact(group uint32) {
	s.t.Helper()
	g, open := s.Group(2, group)
	if !open || !g.Running() {
		s.t.Errorf("group %d does not run on n3 after its job has failed", group)
		return
	}
	if r := g.Status(); r.AppliedIndex < s.last[group] || r.State == raftgroup.ReplicaQuarantined {
		s.t.Errorf("group %d on n3 stands at %d after its job has failed, and at %d before: %s, %s", group, r.AppliedIndex, s.last[group], r.State, r.Why)
	}
	device, before := s.devices[group], s.acked[group]-int64(classOf(group).missed())
	if has := valueAt(s.t, g, device, before); has != before {
		s.t.Errorf("group %d on n3 reads %d after its job has failed, want %d", group, has, before)
	}
}

// corrupt has n1 serve other leaves than asked for, and all nodes do so to the
// first jobs.
func corrupt(s *gapScene) {
	const unlucky = 3
	liars := make(map[string]bool)
	s.watch.lie = func(job, source string) bool { // called with the lock held
		if len(liars) < unlucky {
			liars[job] = true
		}
		return liars[job] || source == "n1"
	}
}

// corruptedMessage waits until those have failed to which everybody lies; the
// others got all from n2.
func corruptedMessage(s *gapScene) {
	s.goOn()
	s.awaitFailed(3)
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	s.watch.lie = nil
	if s.watch.lied < strikeAfter {
		s.t.Errorf("%d leaves were corrupted", s.watch.lied)
	}
}

// stopAndResume restarts n3 in between: what it fetched counts, under the same
// jobs.
func stopAndResume(s *gapScene) {
	var open []string
	for _, j := range s.resyncs(2) {
		if !j.Final() {
			open = append(open, j.ID)
		}
	}
	staged := len(s.staged(2))
	s.goOn()
	s.Stop(2)
	s.Start(2)
	s.Await("the jobs have gone on and ended", 5*time.Minute, func() string {
		time.Sleep(time.Second)
		jobs := s.resyncs(2)
		for _, id := range open {
			i := slices.IndexFunc(jobs, func(j api.Job) bool { return j.ID == id })
			if i < 0 {
				return "there is no job " + id
			}
			if !jobs[i].Final() {
				return fmt.Sprintf("%s: %s, %s", id, jobs[i].Status, text(jobs[i].BlockedBy))
			}
			if jobs[i].Status != api.StatusDone {
				s.t.Fatalf("resumed job %s: %s: %s", id, jobs[i].Status, text(jobs[i].Error))
			}
		}
		return ""
	})
	s.t.Logf("%d jobs went on, %d groups had staging", len(open), staged)
	if staged == 0 {
		s.t.Error("no job had staging when n3 stopped")
	}
}
