package clustertest

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/raftgroup"
)

// slots are those of the clusters that run at the same time.
var slots = make(chan struct{}, min(maxClusters, runtime.GOMAXPROCS(0)))

// Run runs a test in a bubble of virtual time, beside others. A watchdog
// outside of it ends the process after limit of real time, with every stack: in
// a bubble that spins, or that waits for something outside, time stands still
// and no timeout of its own can fire.
func Run(t *testing.T, limit time.Duration, f func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	slots <- struct{}{}
	defer func() { <-slots }()
	RunAlone(t, limit, f)
}

// RunAlone is Run for a test that looks at the whole process.
func RunAlone(t *testing.T, limit time.Duration, f func(t *testing.T)) {
	t.Helper()
	watchdog := time.AfterFunc(limit*raceFactor, func() {
		stacks := make([]byte, 64<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		fmt.Fprintf(os.Stderr, "%s took more than %v of real time\n%s\n", t.Name(), limit, stacks)
		os.Exit(1)
	})
	defer watchdog.Stop()
	synctest.Test(t, f)
}

// awaitStep is the pause between two looks at a condition, in virtual time.
const awaitStep = 5 * time.Millisecond

// Await waits for a condition, which returns "" or what is missing, and returns
// the virtual time that it took.
func (c *Cluster) Await(what string, limit time.Duration, missing func() string) time.Duration {
	c.t.Helper()
	for began := time.Now(); ; time.Sleep(awaitStep) {
		lacks := missing()
		if lacks == "" {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			c.t.Fatalf("not within %v: %s: %s%s", limit, what, lacks, c.uneven())
		}
	}
}

// uneven describes some groups whose replicas stand at different places, "" if
// there are none.
func (c *Cluster) uneven() string {
	const most = 4
	groups := make(map[uint32][]raftgroup.Status)
	for _, i := range c.Up() {
		if n := c.nodes[i].Node(); n.Groups() != nil {
			for _, g := range n.Groups().Groups() {
				groups[g.ID()] = append(groups[g.ID()], g.Status())
			}
		}
	}
	var b strings.Builder
	shown := 0
	for group, replicas := range groups {
		same := func(s raftgroup.Status) bool {
			return s.AppliedIndex == replicas[0].AppliedIndex && s.State == replicas[0].State && !s.Leader.IsZero()
		}
		if !slices.ContainsFunc(replicas, func(s raftgroup.Status) bool { return !same(s) }) || shown == most {
			continue
		}
		shown++
		for _, s := range replicas {
			fmt.Fprintf(&b, "\n  group %d: %+v", group, s)
		}
	}
	return b.String()
}

// Up lists the nodes that run.
func (c *Cluster) Up() []int {
	var up []int
	for i, m := range c.nodes {
		if m.Node() != nil {
			up = append(up, i)
		}
	}
	return up
}

// AwaitReady waits until every running node is ready, as /readyz says it.
func (c *Cluster) AwaitReady() time.Duration {
	c.t.Helper()
	return c.Await("all nodes are ready", time.Minute, func() string {
		for _, i := range c.Up() {
			n := c.nodes[i].Node()
			select {
			case <-n.Ready():
			case err := <-n.Failed():
				c.t.Fatalf("%s had to stop: %v", c.nodes[i].Name, err)
			default:
				return c.nodes[i].Name + ": " + strings.Join(n.Missing(), "; ")
			}
		}
		return ""
	})
}

// AwaitLeaders waits until every group that exists has a leader among the
// running nodes that confirms it.
func (c *Cluster) AwaitLeaders(limit time.Duration) time.Duration {
	c.t.Helper()
	return c.Await("every group has a leader", limit, func() string {
		led := make(map[uint32]bool)
		exist := make(map[uint32]bool)
		for _, i := range c.Up() {
			n := c.nodes[i].Node()
			for group := range n.Meta().Table().Assignments {
				exist[group] = true
			}
			if n.Groups() == nil {
				continue
			}
			for _, g := range n.Groups().Groups() {
				if g.IsLeader() {
					led[g.ID()] = true
				}
			}
		}
		if len(led) < len(exist) {
			return fmt.Sprintf("%d of %d groups", len(led), len(exist))
		}
		return ""
	})
}

// Leader is a running node that holds itself for the leader of a group.
func (c *Cluster) Leader(group uint32) (i int, ok bool) {
	for _, i := range c.Up() {
		if g, ok := c.Group(i, group); ok && g.IsLeader() {
			return i, true
		}
	}
	return 0, false
}

// Group is a node's replica of a group.
func (c *Cluster) Group(i int, group uint32) (*raftgroup.Group, bool) {
	n := c.nodes[i].Node()
	if n == nil || n.Groups() == nil {
		return nil, false
	}
	return n.Groups().Group(group)
}

// MetaLeader is the node that holds itself for the leader of the meta group.
func (c *Cluster) MetaLeader() (i int, ok bool) {
	for _, i := range c.Up() {
		if c.nodes[i].Node().Meta().IsLeader() {
			return i, true
		}
	}
	return 0, false
}
