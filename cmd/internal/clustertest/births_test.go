package clustertest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/membership"
)

// bornOnce checks that each group has one lineage on all replicas, and the
// configuration of its birth, as soon as they have applied it.
func (c *Cluster) bornOnce() {
	c.t.Helper()
	c.Await("every group has the configuration of its one birth", 30*time.Second, func() string {
		for group, birth := range c.nodes[0].Node().Meta().Table().Births {
			for i := range c.nodes {
				if wrong := c.notBorn(i, group, birth); wrong != "" {
					return fmt.Sprintf("group %d on %s: %s", group, c.nodes[i].Name, wrong)
				}
			}
		}
		return ""
	})
}

func (c *Cluster) notBorn(i int, group uint32, birth membership.Birth) string {
	if _, listed := birth.Voter(c.nodes[i].Node().ID()); !listed {
		return ""
	}
	g, ok := c.Group(i, group)
	if !ok || !g.Running() {
		return "not open"
	}
	if g.Lineage() != birth.Lineage {
		c.t.Fatalf("group %d on %s is of lineage %s, it was born as %s", group, c.nodes[i].Name, g.Lineage(), birth.Lineage)
	}
	members, index, err := g.Members()
	if err != nil {
		return err.Error()
	}
	if index != 1 || len(members) != len(birth.Voters) {
		c.t.Fatalf("group %d on %s has %v at index %d, it was born with %v", group, c.nodes[i].Name, members, index, birth.Voters)
	}
	return ""
}

// writeEverywhere writes one batch through every node at once, and returns how
// long the slowest took.
func (c *Cluster) writeEverywhere(t *testing.T, devices int, again bool) time.Duration {
	t.Helper()
	began := time.Now()
	var wg sync.WaitGroup
	for n := range 2 * len(c.nodes) {
		k := c.Client(n % len(c.nodes))
		wg.Go(func() {
			for {
				ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
				_, err := k.Write(ctx, batch("born", devices, int64(n), int64(n)))
				cancel()
				if err == nil {
					return
				}
				if !again {
					t.Errorf("write %d: %v", n, err)
					return
				}
				time.Sleep(awaitStep)
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

// I6: groups that several nodes ask for at once are born once, and soon.
func TestI6RacedBirthsHappenOnce(t *testing.T) {
	Run(t, 3*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		took := c.writeEverywhere(t, 6*totalGroups, false)
		groups := len(c.nodes[0].Node().Meta().Table().Births)
		t.Logf("%d groups were born and written in %v", groups, took)
		if limit := 500 * time.Millisecond; took > limit || groups < mostGroups {
			t.Errorf("%d births took %v, allowed are %v", groups, took, limit)
		}
		c.bornOnce()
	})
}

// I6: the same while the meta leader is cut off, a node dies, and links are slow.
func TestI6BirthsUnderFaultsHappenOnce(t *testing.T) {
	for name, hurt := range map[string]func(c *Cluster){
		"MetaLeaderIsCutOff": func(c *Cluster) {
			i, _ := c.MetaLeader()
			c.Partition(i)
			time.Sleep(3 * time.Second)
			c.Heal()
		},
		"NodeDies": func(c *Cluster) {
			c.Crash(1)
			time.Sleep(time.Second)
			c.Start(1)
		},
		"AllDie": func(c *Cluster) {
			c.Crash(0, 1, 2)
			for i := range c.nodes {
				c.Start(i)
			}
		},
		"LinksAreSlow": func(c *Cluster) {
			c.Delay(0, 60*time.Millisecond)
			time.Sleep(2 * time.Second)
			c.Heal()
		},
	} {
		t.Run(name, func(t *testing.T) {
			Run(t, 3*time.Minute, func(t *testing.T) {
				c := StartNew(t, 3, nil)
				done := make(chan time.Duration)
				go func() { done <- c.writeEverywhere(t, 300, true) }()
				time.Sleep(4 * time.Millisecond) // in the middle of the births
				hurt(c)
				t.Logf("written after %v", <-done)
				c.AwaitReady()
				c.AwaitLeaders(30 * time.Second)
				c.bornOnce()
				if groups, err := c.CompareRoots(); err != nil || groups < totalGroups/3 {
					t.Errorf("%d groups: %v", groups, err)
				}
			})
		})
	}
}
