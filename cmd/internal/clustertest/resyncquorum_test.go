package clustertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

// Two of three nodes stay writable while one of the two is copied to: n3 keeps
// its vote, so that with n2 killed in the middle of the copies every group
// commits again, with n3's part. No voter is removed in order to be copied.
func TestResyncKeepsTwoOfThreeWritable(t *testing.T) {
	Run(t, 10*time.Minute, func(t *testing.T) {
		s := newGapScene(t, nil)
		s.watch.stopAt(resync.Fetch, "opened", strikeAfter)
		s.Start(2)
		s.awaitReached()
		s.Crash(1)
		s.goOn()
		stop, removed := s.watchVoters(0)
		longest := s.writeUntilAcked(0, 2*time.Minute)
		stop()
		if groups := removed(); len(groups) > 0 {
			t.Errorf("a voter was removed of %d groups: %v", len(groups), groups)
		}
		t.Logf("with n2 dead and n3 stale every group took a write after at most %v", longest)
		s.Start(1)
		s.settle()
		s.checkEnd()
	})
}

// watchVoters looks for groups with other than three voters, as one node has
// applied them, until it is stopped.
func (c *Cluster) watchVoters(node int) (stop func(), removed func() []uint32) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var groups []uint32
	wg.Go(func() {
		for ctx.Err() == nil {
			for _, g := range c.nodes[node].Node().Groups().Groups() {
				members, _, err := g.Members()
				voters := 0
				for _, m := range members {
					if m.Voter {
						voters++
					}
				}
				if err == nil && voters != 3 && !slices.Contains(groups, g.ID()) {
					groups = append(groups, g.ID())
				}
			}
			time.Sleep(lookPause)
		}
	})
	return func() { cancel(); wg.Wait() }, func() []uint32 { return groups }
}

// writeUntilAcked writes a point to every group through one node, each until it
// is acked, and gives the longest time that it took.
func (s *gapScene) writeUntilAcked(node int, limit time.Duration) (longest time.Duration) {
	s.t.Helper()
	k, began := s.Client(node), time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	late := 0
	for group, device := range s.devices {
		s.acked[group]++
		at := s.acked[group]
		wg.Go(func() {
			for {
				ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
				_, err := k.Write(ctx, []client.Point{point(device, at, at)})
				cancel()
				mu.Lock()
				switch took := time.Since(began); {
				case err == nil:
					longest = max(longest, took)
				case took > limit:
					late++
				}
				mu.Unlock()
				if err == nil || time.Since(began) > limit {
					return
				}
				time.Sleep(lookPause)
			}
		})
	}
	wg.Wait()
	if late > 0 {
		s.t.Fatalf("%d groups took no write within %v%s", late, limit, s.uneven())
	}
	return longest
}

// All groups of a node that lost its disk are copied, few at once, as jobs and
// rows show it, and no write of any group waits long.
func TestResyncOfAllGroupsLeavesWritesAlone(t *testing.T) {
	Run(t, 10*time.Minute, func(t *testing.T) {
		w := &copyWatch{}
		c := New(t, nil)
		c.hooks = w.hooks
		for range 3 {
			c.Add()
		}
		c.AwaitReady()
		c.writeEverywhere(t, 8*totalGroups, false)
		l := c.NewLedger("foreground", ledgerDevices)
		end := c.Load(l, loadCallers, loadRate)
		c.Crash(2)
		c.wipe(2)
		time.Sleep(3 * time.Second)
		l.ResetWaits()
		c.Start(2)
		shown := 0
		c.Await("all groups are copied", 30*time.Minute, func() string {
			time.Sleep(20 * time.Millisecond)
			open, copying := c.copying(2)
			shown = max(shown, copying)
			if done := len(c.resyncs(2)) - open; done < totalGroups {
				return fmt.Sprintf("%d are", done)
			}
			return c.filled()
		})
		time.Sleep(time.Second)
		wait, groups := l.LongestWait()
		end()
		limit := config.Defaults().Storage.Sync.MaxConcurrent
		t.Logf("at most %d copies at once, %d shown; a write of group %d waited %v, %d groups were written", w.most, shown, wait.Group, wait.Duration, groups)
		if w.most > limit || w.most < 2 || shown > limit {
			t.Errorf("%d copies at once, %d shown, allowed are %d", w.most, shown, limit)
		}
		if wait.Duration > 300*time.Millisecond || groups < mostGroups {
			t.Errorf("a write waited %v; %d groups were written", wait.Duration, groups)
		}
		t.Log(c.CheckLedger(l, 2))
	})
}

// copying counts the jobs of a node that have not ended, and those of them that
// hold, cut, explore, fetch or install.
func (c *Cluster) copying(node int) (open, copying int) {
	stages := []string{"hold", "cut", "explore", "fetch", "install"}
	for _, j := range c.resyncs(node) {
		if j.Final() {
			continue
		}
		open++
		if j.Status != api.StatusQueued && slices.Contains(stages, text(j.Stage)) {
			copying++
		}
	}
	return open, copying
}

// awaitLedBy waits until two nodes lead every group.
func (c *Cluster) awaitLedBy(one, other int) {
	c.t.Helper()
	c.Await("two nodes lead every group", 30*time.Second, func() string {
		time.Sleep(lookPause)
		for group := range c.nodes[one].Node().Meta().Table().Assignments {
			a, _ := c.Group(one, group)
			b, _ := c.Group(other, group)
			if !a.IsLeader() && !b.IsLeader() {
				return fmt.Sprintf("not group %d", group)
			}
		}
		return ""
	})
}

// A leader that was cut off with entries that nobody has is not copied when it
// comes back, restarted or not: the log replaces its tail.
func TestResyncDoesNotCopyADeposedLeader(t *testing.T) {
	Run(t, 10*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		c.writeEverywhere(t, 8*totalGroups, false)
		l := c.NewLedger("deposed", ledgerDevices)
		for _, restarted := range []bool{false, true} {
			c.awaitLevel()
			c.AwaitReady()
			c.Partition(0)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := c.Client(0).Write(ctx, batch("unacked", 8*totalGroups, 1, 1))
			cancel()
			if err == nil {
				t.Error("a node alone acked a write")
			}
			c.awaitLedBy(1, 2)
			end := c.Load(l, loadCallers, loadRate)
			time.Sleep(time.Second)
			end()
			tails := 0
			for _, g := range c.nodes[0].Node().Groups().Groups() {
				if r := g.Status(); r.LogLast > r.CommitIndex {
					tails++
				}
			}
			if restarted {
				c.Crash(0)
				c.Heal()
				c.Start(0)
			} else {
				c.Heal()
			}
			c.awaitLevel()
			time.Sleep(15 * time.Second) // whoever notices something late has noticed it
			verdicts := make(map[string]int)
			for _, j := range c.resyncs(0) {
				verdicts[text(j.Verdict)]++
			}
			t.Logf("restarted %v: %d groups had a tail, jobs: %v", restarted, tails, verdicts)
			if tails < totalGroups/5 || verdicts["delta"]+verdicts["full"] > 0 {
				t.Errorf("%d groups had a tail; verdicts are %v", tails, verdicts)
			}
		}
		t.Log(c.CheckLedger(l, 0))
		if groups, err := c.CompareRoots(); err != nil || groups < mostGroups {
			t.Errorf("%d groups: %v", groups, err)
		}
	})
}
