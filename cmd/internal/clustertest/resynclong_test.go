package clustertest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/walgap/resync"
)

const (
	// heavyEvery is how often every group gets heavyBytes more, and heavyLog what
	// of that a node's log keeps: the writes of about three minutes.
	heavyEvery = 10 * time.Second
	heavyBytes = 1 << 10
	heavyLog   = 4 << 20
)

// A node that is cut off for ten minutes of heavy writes, beyond the end of every
// log, comes back with one job a group. While a job lives the logs keep what it
// will need, however much is written. It takes most of a minute of CPU, so it is
// for `make soak`; resync_test.go has a cut of ten minutes under light writes.
func TestResyncAfterTenMinutesOfHeavyWrites(t *testing.T) {
	if times(t) == 1 {
		t.Skip("most of a minute of CPU: with SOAK above 1 only")
	}
	Run(t, 10*time.Minute, func(t *testing.T) {
		s := &gapScene{Cluster: New(t, func(_ int, c *config.Config) { c.Storage.LogRetention = heavyLog }), t: t, watch: newSyncWatch(), end: func() {}}
		s.hooks = s.watch.of
		for range 3 {
			s.Add()
		}
		s.AwaitReady()
		s.devices = devicesOfAllGroups()
		s.acked = make([]int64, len(s.devices))
		s.write(func(uint32) bool { return true })
		s.awaitLevel()
		s.Partition(2)
		s.awaitLedBy(0, 1)
		s.writeHeavily(10 * time.Minute)
		for group := range s.devices {
			if g, _ := s.Group(0, uint32(group)); g.Status().LogFirst <= 10 {
				t.Fatalf("the log of group %d still begins at %d", group, g.Status().LogFirst)
			}
		}
		s.watch.stopAt(resync.Fetch, "opened", 1)
		s.Heal()
		s.awaitReached()
		s.logsStayUnderLeases(4 * time.Minute)
		s.goOn()
		s.settle()
		jobs := make(map[uint32]int)
		for _, j := range s.resyncs(2) {
			if jobs[*j.GroupID]++; j.Status != api.StatusDone || text(j.Verdict) != "delta" {
				t.Errorf("job of group %d: %s, verdict %q: %s", *j.GroupID, j.Status, text(j.Verdict), text(j.Error))
			}
		}
		for group := range s.devices {
			if n := jobs[uint32(group)]; n != 1 {
				t.Errorf("group %d had %d jobs", group, n)
			}
		}
		s.checkEnd()
	})
}

// writeHeavily writes much to every group, for so long.
func (s *gapScene) writeHeavily(length time.Duration) {
	s.t.Helper()
	text := client.Text(strings.Repeat("heavy ", heavyBytes/6))
	k := s.Client(0)
	for began := time.Now(); time.Since(began) < length; time.Sleep(heavyEvery) {
		points := make([]client.Point, len(s.devices))
		for group, device := range s.devices {
			s.acked[group]++
			p := point(device, s.acked[group], s.acked[group])
			p.Fields = append(p.Fields, client.Field{Name: "zz", Value: text})
			points[group] = p
		}
		ctx, cancel := context.WithTimeout(s.t.Context(), opTimeout)
		_, err := k.Write(ctx, points)
		cancel()
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// logsStayUnderLeases writes on, and expects that the logs of groups whose job
// has stopped at fetch keep what its lease says, and that those of others lose
// all that they had.
func (s *gapScene) logsStayUnderLeases(length time.Duration) {
	s.t.Helper()
	floor, last := make(map[uint32]uint64), make(map[uint32]uint64)
	leased := s.fetching()
	for group := range s.devices {
		g, _ := s.Group(0, uint32(group))
		last[g.ID()] = g.Status().LogLast
		if from, has := g.Shard().LeaseFloor(); has {
			floor[g.ID()] = from
		} else if leased[g.ID()] {
			s.t.Errorf("group %d: its job fetches without a lease", group)
		}
	}
	s.writeHeavily(length)
	lost := 0
	for group, was := range last {
		g, _ := s.Group(0, group)
		now := g.Status().LogFirst
		switch {
		case leased[group] && now > min(floor[group], was):
			s.t.Errorf("group %d: a lease keeps the log from %d on, which ended at %d, and begins at %d now", group, floor[group], was, now)
		case !leased[group] && now > was:
			lost++
		}
	}
	s.t.Logf("%d jobs fetched for %v; %d other groups lost the log that they had then", len(leased), length, lost)
	if len(leased) == 0 || lost < totalGroups/3 {
		s.t.Errorf("%d jobs fetched, %d other logs were trimmed", len(leased), lost)
	}
}

// fetching are the groups of n3 whose jobs are at fetch.
func (s *gapScene) fetching() map[uint32]bool {
	groups := make(map[uint32]bool)
	for _, j := range s.resyncs(2) {
		if !j.Final() && text(j.Stage) == resync.Fetch.String() {
			groups[*j.GroupID] = true
		}
	}
	return groups
}

// The lease of a job whose node is gone for good runs out, and the log can be
// trimmed again.
func TestResyncLeasesEndWithTheirNode(t *testing.T) {
	Run(t, 10*time.Minute, func(t *testing.T) {
		s := newGapScene(t, nil)
		s.watch.stopAt(resync.Fetch, "opened", strikeAfter)
		s.Start(2)
		s.awaitReached()
		time.Sleep(10 * time.Second) // jobs that passed the point before it stopped them have ended
		leased := s.fetching()
		time.Sleep(90 * time.Second) // longer than a lease: it is renewed
		s.leases(leased, true)
		s.goOn()
		s.Crash(2)
		time.Sleep(30 * time.Second)
		s.leases(leased, true)
		time.Sleep(60 * time.Second)
		s.leases(leased, false)
		s.write(func(uint32) bool { return true })
		s.awaitLevel()
		if longest := s.trimAll(t, 0, 1); longest > 0 {
			t.Errorf("a log keeps %d entries", longest)
		}
		s.Start(2)
		s.settle()
		s.checkEnd()
	})
}

// leases expects that the groups' logs are leased, or not, on both other nodes.
func (s *gapScene) leases(groups map[uint32]bool, want bool) {
	s.t.Helper()
	if len(groups) == 0 {
		s.t.Error("no job was at fetch")
	}
	wrong := ""
	for group := range groups {
		for i := range 2 {
			g, _ := s.Group(i, group)
			if _, has := g.Shard().LeaseFloor(); has != want {
				wrong += fmt.Sprintf(" %d on %s", group, s.nodes[i].Name)
			}
		}
	}
	if wrong != "" {
		s.t.Errorf("leased %v is wrong for the groups%s", want, wrong)
	}
}
