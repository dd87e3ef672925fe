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
	"github.com/flotilla-db/flotilla/walgap/antientropy"
)

const (
	// oneWay is how long a message takes in these tests: so there is a time between
	// a cut and what the replicas say about it.
	oneWay = 300 * time.Millisecond
	// viewsLive is how long the views of a check live that nobody ends.
	viewsLive = 2 * time.Minute
	// endsSoon is within what the views of a check are gone whose end could be said.
	endsSoon = 20 * time.Second
)

// slowScene is a rotScene without rot, whose nodes are far from each other.
func slowScene(t *testing.T, tune func(c *config.Config)) *rotScene {
	t.Helper()
	s := newRotScene(t, func(_ int, c *config.Config) {
		if tune != nil {
			tune(c)
		}
	})
	for i := range s.nodes {
		s.Delay(i, oneWay)
	}
	return s
}

// comeNear ends the delays: elections between nodes that are so far from each
// other may go on for minutes.
func (s *rotScene) comeNear() {
	for i := range s.nodes {
		s.Delay(i, 0)
	}
}

// viewOf gives the cut of a check that a node's replica of a group holds, "" for none.
func (s *rotScene) viewOf(node int, group uint32) string {
	g, open := s.Group(node, group)
	if !open || g.Shard() == nil {
		return ""
	}
	for _, l := range g.Shard().Leases() {
		if l.View && l.Purpose == "verify" {
			return l.ID
		}
	}
	return ""
}

// awaitView waits until a check has its cut on a node.
func (s *rotScene) awaitView(node int, group uint32) (cut string) {
	s.t.Helper()
	s.Await("a check has made its cut", 5*time.Minute, func() string {
		if cut = s.viewOf(node, group); cut == "" {
			return "none is there"
		}
		return ""
	})
	return cut
}

// nothingIsLeft waits until the replicas that run hold nothing of any check.
func (s *rotScene) nothingIsLeft(group uint32, within time.Duration) {
	s.t.Helper()
	took := s.Await("nothing of the check is left", within, func() string {
		for _, i := range s.Up() {
			g, open := s.Group(i, group)
			if !open || g.Shard() == nil {
				return s.nodes[i].Name + " has no shard"
			}
			what, suspect := g.Suspicion()
			if leases, views := g.Shard().Leases(), g.Shard().Stats().Views; len(leases) > 0 || views > 0 || suspect {
				return fmt.Sprintf("%s: leases %v, %d views, suspicion %+v", s.nodes[i].Name, leases, views, what)
			}
		}
		return ""
	})
	s.t.Logf("nothing is left after %v", took)
}

// checkOn begins a check of a group on a node; it is over when its report comes.
func (s *rotScene) checkOn(node int, group uint32, o antientropy.Options) <-chan antientropy.Report {
	gw, ended := s.nodes[node].Node().Gateway(), make(chan antientropy.Report, 1)
	go func() {
		r, err := gw.CheckGroup(context.Background(), group, o)
		if err != nil {
			s.t.Errorf("check of group %d: %v", group, err)
		}
		ended <- r
	}()
	return ended
}

// isIncomplete expects a report that says that a check could not be made, and names
// a reason.
func isIncomplete(t *testing.T, r antientropy.Report, reason string) {
	t.Helper()
	t.Logf("the report: equal %v, damaged %v, attempts %d, missing %v, unchecked: %s", r.Equal, r.Damaged, r.Attempts, r.Missing, r.Unchecked)
	if r.Equal || r.Damaged || r.Repaired || r.Disputed || len(r.Findings) > 0 || !strings.Contains(r.Unchecked, reason) {
		t.Errorf("not an incomplete check, because of %q: %+v", reason, r)
	}
}

// isEqual has a group checked, which is equal.
func (s *rotScene) isEqual(t *testing.T, node int, group uint32, o antientropy.Options) {
	t.Helper()
	if r := <-s.checkOn(node, group, o); !r.Equal || r.Damaged || r.Unchecked != "" || len(r.Findings) > 0 {
		t.Errorf("the next check: %+v", r)
	}
}

// noAlarm expects that nothing was ever held against a replica.
func (s *rotScene) noAlarm(t *testing.T) {
	t.Helper()
	w := newAlarmWatch(s.Cluster)
	w.look()
	for _, a := range w.alarms {
		t.Error(a)
	}
}

// threeNodes are the leader of a group and the two others.
func (s *rotScene) threeNodes(t *testing.T, group uint32) (leader, a, b int) {
	t.Helper()
	leader, led := s.Leader(group)
	if !led {
		t.Fatal("no leader")
	}
	return leader, (leader + 1) % 3, (leader + 2) % 3
}

// The leader dies after it has made the cut that another node asked for, and before
// it has said its root: it is missing, and so the check proves nothing.
func TestCheckWhoseLeaderIsKilledIsIncomplete(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		const group = 3
		s := slowScene(t, nil)
		leader, asks, _ := s.threeNodes(t, group)
		ended := s.checkOn(asks, group, antientropy.Options{Repair: true})
		s.awaitView(leader, group)
		time.Sleep(oneWay + oneWay/4) // who asked knows of the cut
		s.Crash(leader)
		isIncomplete(t, <-ended, s.nodes[leader].Name)
		s.nothingIsLeft(group, endsSoon)
		isIncomplete(t, <-s.checkOn(asks, group, antientropy.Options{Repair: true}), s.nodes[leader].Name)
		s.comeNear()
		s.Start(leader)
		s.AwaitReady()
		s.awaitLevel()
		s.isEqual(t, asks, group, antientropy.Options{})
		s.nothingIsLeft(group, endsSoon)
		s.noAlarm(t)
	})
}

// A replica dies after the cut, before it has said its root.
func TestCheckWhoseReplicaIsKilledIsIncomplete(t *testing.T) {
	for name, deep := range map[string]bool{"Roots": false, "Deep": true} {
		t.Run(name, func(t *testing.T) {
			Run(t, 5*time.Minute, func(t *testing.T) {
				const group = 4
				s := slowScene(t, nil)
				leader, dies, _ := s.threeNodes(t, group)
				ended := s.checkOn(leader, group, antientropy.Options{Deep: deep, Repair: true})
				s.awaitView(leader, group)
				time.Sleep(oneWay / 2)
				if deep { // it has said its root, and reads
					time.Sleep(2 * oneWay)
				}
				s.Crash(dies)
				isIncomplete(t, <-ended, s.nodes[dies].Name)
				s.nothingIsLeft(group, endsSoon)
				s.comeNear()
				s.Start(dies)
				s.AwaitReady()
				s.awaitLevel()
				s.nothingIsLeft(group, endsSoon)
				s.isEqual(t, leader, group, antientropy.Options{Deep: deep})
				s.noAlarm(t)
			})
		})
	}
}

// The views of a cut are gone when the replicas are asked: the check is made again,
// at another cut. Where that happens each time it is incomplete.
func TestCheckWhoseCutIsGoneIsMadeAgain(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		const group = 5
		s := newRotScene(t, nil)
		leader, asks, _ := s.threeNodes(t, group)
		s.Delay(asks, oneWay) // the two others commit meanwhile
		end := func(times int) {
			g, _ := s.Group(leader, group)
			for range times {
				cut := s.awaitView(leader, group)
				if _, err := g.End(t.Context(), cut); err != nil {
					t.Error(err)
				}
			}
		}
		ended := s.checkOn(asks, group, antientropy.Options{Repair: true})
		end(1)
		if r := <-ended; !r.Equal || r.Attempts != 2 || r.Unchecked != "" || len(r.Findings) > 0 {
			t.Errorf("one cut was gone: %+v", r)
		}
		s.nothingIsLeft(group, endsSoon)
		ended = s.checkOn(asks, group, antientropy.Options{Repair: true})
		end(3)
		r := <-ended
		isIncomplete(t, r, "no view")
		if r.Attempts != 3 {
			t.Errorf("%d attempts", r.Attempts)
		}
		s.nothingIsLeft(group, endsSoon)
		s.isEqual(t, asks, group, antientropy.Options{})
		s.noAlarm(t)
	})
}

// Who checks is cut off from everybody after the cut. It cannot say that the views
// are over: they end by their time.
func TestCheckThatIsCutOffIsIncompleteAndItsViewsExpire(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		const group = 6
		s := slowScene(t, nil)
		leader, asks, other := s.threeNodes(t, group)
		ended := s.checkOn(asks, group, antientropy.Options{Repair: true})
		cut := s.awaitView(leader, group)
		time.Sleep(oneWay + oneWay/4)
		s.Partition(asks)
		isIncomplete(t, <-ended, s.nodes[leader].Name)
		for _, i := range []int{leader, other} {
			if g, _ := s.Group(i, group); s.viewOf(i, group) != cut || g.Shard().Stats().Views != 1 {
				t.Errorf("%s has no view any more: the test shows nothing", s.nodes[i].Name)
			}
		}
		s.nothingIsLeft(group, viewsLive)
		s.Heal()
		s.awaitLevel()
		s.isEqual(t, asks, group, antientropy.Options{})
		s.nothingIsLeft(group, endsSoon)
		s.noAlarm(t)
	})
}

// A scheduled check dies with the leader that makes it. The next leader says that
// the group is not checked, and once the node is back the group is proven again, by
// nobody's order.
func TestScheduledCheckIsMadeAgainByTheNextLeader(t *testing.T) {
	const interval = 2 * time.Minute
	Run(t, 5*time.Minute, func(t *testing.T) {
		s := slowScene(t, func(c *config.Config) {
			c.Storage.AntiEntropy.Enabled, c.Storage.AntiEntropy.Interval = true, interval
		})
		end := s.writeOn(t) // so that the replicas do not stand at one place
		watch := newAlarmWatch(s.Cluster)
		leader, group, cut := s.awaitScheduled()
		if s.provenAt(group).After(time.Now().Add(-interval / 2)) {
			t.Errorf("group %d is proven before its replicas were asked", group)
		}
		time.Sleep(oneWay + oneWay/4) // the others have it
		watch.look()
		s.Crash(leader)
		killed := time.Now()
		time.Sleep(oneWay)
		for _, i := range s.Up() {
			if s.viewOf(i, group) != cut {
				t.Errorf("%s has not got the cut: the test shows nothing", s.nodes[i].Name)
			}
		}
		s.Await("the views of the killed check are gone", viewsLive+time.Second, func() string {
			for _, i := range s.Up() {
				if s.viewOf(i, group) == cut {
					return s.nodes[i].Name
				}
			}
			return ""
		})
		s.Await("groups are said not to be checked", 2*interval, func() string {
			time.Sleep(time.Second)
			return s.saysUnchecked(s.nodes[leader].Name, killed)
		})
		if at := s.provenAt(group); at.After(killed) {
			t.Errorf("group %d was proven at %v without %s, which was killed at %v", group, at, s.nodes[leader].Name, killed)
		}
		s.comeNear()
		s.Start(leader)
		s.AwaitReady()
		back := time.Now()
		took := s.Await("the group is proven again", 3*interval, func() string {
			time.Sleep(time.Second)
			if !s.provenAt(group).After(back) {
				return fmt.Sprintf("last at %v", s.provenAt(group))
			}
			return ""
		})
		t.Logf("proven %v after %s was back", took, s.nodes[leader].Name)
		end()
		s.nothingIsLeft(group, viewsLive)
		watch.look()
		for _, a := range watch.alarms {
			t.Error(a)
		}
	})
}

// writeOn writes to all groups of the scene, until it is told to end.
func (s *rotScene) writeOn(t *testing.T) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	k, done := s.Client(), make(chan struct{})
	go func() {
		defer close(done)
		for at := int64(1000); ctx.Err() == nil; at++ {
			points := make([]client.Point, len(s.devices))
			for i, device := range s.devices {
				points[i] = point(device, at, at)
			}
			limited, cancel := context.WithTimeout(ctx, opTimeout)
			_, _ = k.Write(limited, points) // what is lost is lost
			cancel()
			time.Sleep(oneWay / 2)
		}
	}()
	return func() { cancel(); <-done }
}

// awaitScheduled waits until a leader has made a cut for a check of its own.
func (s *rotScene) awaitScheduled() (leader int, group uint32, cut string) {
	s.t.Helper()
	s.Await("a scheduled check makes its cut", 10*time.Minute, func() string {
		for id := range s.devices {
			i, led := s.Leader(uint32(id))
			if led {
				if cut = s.viewOf(i, uint32(id)); cut != "" {
					leader, group = i, uint32(id)
					return ""
				}
			}
		}
		return "there is none"
	})
	return leader, group, cut
}

// provenAt is when a running node last knew a group to be equal.
func (s *rotScene) provenAt(group uint32) (last time.Time) {
	for _, i := range s.Up() {
		if at := s.nodes[i].Node().Gateway().Proofs()[group]; at.After(last) {
			last = at.Time
		}
	}
	return last
}

// saysUnchecked looks for the event that says that groups were not checked for want
// of a node; "" where it is there.
func (s *rotScene) saysUnchecked(node string, since time.Time) string {
	for _, i := range s.Up() {
		events, _ := s.nodes[i].Node().Gateway().Events(0)
		for _, e := range events {
			if e.Kind == api.EventCheck && e.Time.After(since) && e.Node == node && strings.Contains(e.Text, "not fully checked") {
				return ""
			}
		}
	}
	return "no event says so"
}
