package clustertest

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

// changes watches the configurations of groups for steps of more than one
// change at a time.
type changes struct {
	seen  map[uint32]map[string]bool // group -> server -> votes
	index map[uint32]uint64
	steps int
}

func (w *changes) look(c *Cluster, group uint32) string {
	for _, i := range c.Up() {
		g, ok := c.Group(i, group)
		if !ok {
			continue
		}
		members, index, err := g.Members()
		if err != nil || index <= w.index[group] {
			continue
		}
		now := make(map[string]bool)
		for _, m := range members {
			now[m.ID.String()] = m.Voter
		}
		if before, ok := w.seen[group]; ok && differences(before, now) > 1 {
			return fmt.Sprintf("group %d went from %v to %v in one step, index %d", group, before, now, index)
		}
		w.seen[group], w.index[group] = now, index
		w.steps++
	}
	return ""
}

func differences(a, b map[string]bool) (n int) {
	for id, votes := range a {
		if now, ok := b[id]; !ok || now != votes {
			n++
		}
	}
	for id := range b {
		if _, ok := a[id]; !ok {
			n++
		}
	}
	return n
}

// filled says what a group lacks of three equal voters.
func (c *Cluster) filled() string {
	for group, a := range c.nodes[0].Node().Meta().Table().Assignments {
		if voters := c.voters(group); len(voters) != 3 {
			return fmt.Sprintf("group %d has the voters %v, assigned are %v", group, voters, a.Nodes())
		}
	}
	return ""
}

// spread is the busiest over the least busy of the nodes, by a count of each.
func spread(counts map[string]int, nodes int) float64 {
	if len(counts) < nodes {
		return float64(1 << 20)
	}
	var all []int
	for _, n := range counts {
		all = append(all, n)
	}
	return float64(slices.Max(all)) / float64(slices.Min(all))
}

// A lone node's groups get their other replicas when two nodes join, one change
// at a time, under writes; primaries are spread and lead.
func TestI6GrowthFromOneToThreeChangesOneThingAtATime(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		c := StartNew(t, 1, nil)
		if _, err := c.Client().Write(t.Context(), batch("dev", 6*totalGroups, 1, 1)); err != nil {
			t.Fatal(err)
		}
		l := c.NewLedger("growing", ledgerDevices)
		end := c.Load(l, 8, 200)
		time.Sleep(time.Second)
		watch := &changes{seen: make(map[uint32]map[string]bool), index: make(map[uint32]uint64)}
		began := time.Now()
		c.Add()
		c.Add()
		c.Delay(0, 3*time.Millisecond) // so that each step takes time and is seen
		c.Await("all groups have three voters", time.Minute, func() string {
			for group := range c.nodes[0].Node().Meta().Table().Assignments {
				if wrong := watch.look(c, group); wrong != "" {
					t.Fatal(wrong)
				}
			}
			return c.filled()
		})
		c.Heal()
		t.Logf("filled after %v, %d configurations seen; ready after %v more", time.Since(began), watch.steps, c.AwaitReady())
		if watch.steps < totalGroups*4 {
			t.Errorf("%d configurations of %d groups were seen: the test shows nothing", watch.steps, totalGroups)
		}
		c.Await("primaries lead, and are spread", time.Minute, func() string {
			primaries, leaders := make(map[string]int), make(map[string]int)
			for group, a := range c.nodes[0].Node().Meta().Table().Assignments {
				primaries[a.Primary]++
				if i, ok := c.Leader(group); ok {
					leaders[c.nodes[i].Name]++
				}
			}
			if p, l := spread(primaries, 3), spread(leaders, 3); p > 1.15 || l > 1.15 {
				return fmt.Sprintf("primaries %v, leaders %v", primaries, leaders)
			}
			return ""
		})
		t.Logf("spread after %v", time.Since(began))
		end()
		if groups, err := c.CompareRoots(); err != nil || groups != totalGroups {
			t.Errorf("%d groups: %v", groups, err)
		}
		c.Await("every group is active", time.Minute, func() string {
			for group, a := range c.nodes[2].Node().Meta().Table().Assignments {
				if a.State != membership.GroupActive {
					return fmt.Sprintf("group %d is %s", group, a.State)
				}
			}
			return ""
		})
		c.Crash(0) // what the others got must be all of it
		c.AwaitLeaders(10 * time.Second)
		t.Log(c.CheckLedger(l, 1))
	})
}

// The meta group grows to three voters with three nodes, to five with five, and
// no further.
func TestMetaGroupGrowsToFiveVoters(t *testing.T) {
	Run(t, 3*time.Minute, func(t *testing.T) {
		c := StartNew(t, 1, nil)
		for nodes, want := range []int{1: 1, 2: 2, 3: 3, 4: 3, 5: 5, 6: 5} {
			if nodes == 0 {
				continue
			}
			for len(c.nodes) < nodes {
				c.Add()
			}
			c.AwaitReady()
			took := c.Await(fmt.Sprintf("%d voters with %d nodes", want, nodes), 30*time.Second, func() string {
				for _, m := range c.nodes {
					if voters, err := m.Node().Meta().Voters(); err != nil || len(voters) != want {
						return fmt.Sprintf("%s knows %v", m.Name, voters)
					}
				}
				return ""
			})
			t.Logf("%d voters with %d nodes, %v after they were ready", want, nodes, took)
		}
		leader, _ := c.MetaLeader()
		c.Crash(leader, (leader+1)%6) // two of five: three are a quorum
		c.Await("another meta leader", 10*time.Second, func() string {
			if _, ok := c.MetaLeader(); !ok {
				return "none"
			}
			return ""
		})
		if _, err := c.Client(c.Up()...).Write(t.Context(), batch("dev", 100, 1, 1)); err != nil {
			t.Error("births with two of six nodes dead:", err)
		}
	})
}

// /readyz says 503 until a node is ready, then 200.
func TestReadyzFollowsReadiness(t *testing.T) {
	Run(t, 3*time.Minute, func(t *testing.T) {
		c := StartNew(t, 1, nil)
		c.Add()
		status := func() int {
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: c.Dial}}
			r, err := client.Get("http://" + c.nodes[1].Config.HTTPAddr + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			_ = r.Body.Close()
			return r.StatusCode
		}
		if s := status(); s != http.StatusServiceUnavailable {
			t.Errorf("before it is ready: %s", fmt.Sprint(s))
		}
		c.AwaitReady()
		if s := status(); s != http.StatusOK {
			t.Errorf("when it is ready: %d", s)
		}
	})
}
