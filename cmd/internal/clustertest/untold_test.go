package clustertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// untold is the first group of which a replica has told no root since its node started, or of which roots differ.
func (c *Cluster) untold(group uint32) string {
	roots := map[string]bool{}
	for i := range c.nodes {
		g, ok := c.Group(i, group)
		if !ok {
			return fmt.Sprintf("group %d is not on %s", group, c.nodes[i].Name)
		}
		s := g.Status()
		if s.Root == "" {
			return fmt.Sprintf("group %d on %s: no root (%v)", group, c.nodes[i].Name, s.State)
		}
		roots[fmt.Sprint(s.RootIndex, s.Root)] = true
	}
	if len(roots) != 1 {
		return fmt.Sprintf("group %d: %v", group, roots)
	}
	return ""
}

// A node that has started does not wait for its turn in the interval to know that its replicas are equal; all nodes that start at
// once do not have each group checked three times; and nobody checks what was never away.
func TestReplicasTellTheirRootsSoonAfterAStart(t *testing.T) {
	Run(t, 10*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, func(_ int, cfg *config.Config) {
			cfg.Storage.AntiEntropy.Enabled, cfg.Storage.AntiEntropy.Interval = true, 24*time.Hour
		})
		c.writeEverywhere(t, 400, false)
		groups := c.nodes[0].Node().Meta().Table().Births
		made := func(nodes []int) (n uint64) {
			for _, i := range nodes {
				n += c.nodes[i].Node().Gateway().Own().Proving.Made
			}
			return n
		}
		all := []int{0, 1, 2}
		time.Sleep(time.Minute)
		if n := made(all); n > 16 { // those whose moment it was
			t.Errorf("%d checks of groups that were just born", n)
		}
		for _, away := range [][]int{{2}, all} {
			before := made(c.others(away...)) // the others count anew
			c.Crash(away...)
			for _, i := range away {
				c.Start(i)
			}
			c.AwaitReady()
			took := c.Await("all replicas have told their roots", time.Minute, func() string {
				for group := range groups {
					if lacks := c.untold(group); lacks != "" {
						return lacks
					}
				}
				return ""
			})
			n := made(all) - before
			t.Logf("%d nodes started: all roots after %v, %d checks of %d groups", len(away), took, n, len(groups))
			if took > 10*time.Second {
				t.Errorf("it took %v", took)
			}
			for i := range c.nodes {
				if s := c.nodes[i].Node().Gateway().Own().Proving.Skipped; s > 0 && len(away) == 1 {
					t.Errorf("%d checks by %s came before its replica had caught up", s, c.nodes[i].Name)
				}
			}
			if n > uint64(len(groups)*3/2) {
				t.Errorf("%d checks of %d groups", n, len(groups))
			}
		}
	})
}

// A resync that finds nothing to copy has the replicas compared before it is done.
func TestAResyncThatCopiesNothingProves(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, func(_ int, cfg *config.Config) {
			cfg.Storage.AntiEntropy.Enabled, cfg.Storage.AntiEntropy.Interval = true, 24*time.Hour
		})
		c.writeEverywhere(t, 400, false)
		c.awaitLevel()
		const group = 42
		if c.untold(group) == "" {
			t.Fatal("its roots are told already")
		}
		jobs, err := c.nodes[0].Node().Gateway().Resync(t.Context(), gateway.ResyncRequest{Target: "n3", Groups: []uint32{group}})
		if err != nil || len(jobs) != 1 {
			t.Fatalf("%+v: %v", jobs, err)
		}
		c.Await("it is done", time.Minute, func() string {
			time.Sleep(time.Millisecond)
			for _, j := range c.resyncs(2) {
				if j.ID == jobs[0].ID && j.Status == api.StatusDone {
					return ""
				}
			}
			return "not done"
		})
		if lacks := c.untold(group); lacks != "" {
			t.Error(lacks)
		}
	})
}
