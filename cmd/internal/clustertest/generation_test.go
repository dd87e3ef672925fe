package clustertest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/cmd/internal/node/config"
	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

// loseLog crashes a node, takes its data groups' logs away and starts it: it
// runs all of them under a new generation.
func (c *Cluster) loseLog(i int) {
	c.t.Helper()
	c.Crash(i)
	if err := os.RemoveAll(filepath.Join(c.nodes[i].Config.DataDir, "log")); err != nil {
		c.t.Fatal(err)
	}
	c.Start(i)
}

// servers says which groups have not exactly these generations of the nodes as
// members, all with a vote, as the leader and the node itself know it.
func (c *Cluster) servers(generations map[string]uint32) string {
	for group := range c.nodes[0].Node().Meta().Table().Assignments {
		i, ok := c.Leader(group)
		if !ok {
			return fmt.Sprintf("group %d has no leader", group)
		}
		g, _ := c.Group(i, group)
		members, _, err := g.Members()
		if err != nil || len(members) != len(generations) {
			return fmt.Sprintf("group %d has the members %v, %v", group, members, err)
		}
		for _, m := range members {
			if !m.Voter || m.ID.Generation != generations[m.ID.Name] {
				return fmt.Sprintf("group %d has the members %v", group, members)
			}
		}
	}
	return ""
}

// I1, I5: a replica that lost its log comes back as a new server, which is added
// in place of the old one while writes go on. Then the next node may lose its
// log as well, and any one may die.
func TestI5ReplicaThatLostItsLogIsAddedAgain(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, nil)
		l := c.NewLedger("renewal", ledgerDevices)
		end := c.Load(l, 4, 100)
		defer end()
		time.Sleep(5 * time.Second)
		generations := map[string]uint32{"n1": 0, "n2": 0, "n3": 0}
		for _, i := range []int{2, 1} {
			generations[c.nodes[i].Name] = 1
			c.loseLog(i)
			took := c.Await("the new server is a member in place of the old one", time.Minute, func() string { return c.servers(generations) })
			c.AwaitReady()
			t.Logf("%s is back after %v", c.nodes[i].Name, took)
		}
		time.Sleep(time.Second)
		end()
		if groups, err := c.CompareRoots(); err != nil || groups == 0 {
			t.Errorf("%d groups: %v", groups, err)
		}
		c.Crash(0) // the only one that never lost anything
		c.AwaitLeaders(30 * time.Second)
		if _, err := c.Client(1, 2).Write(t.Context(), batch("dev", 20, 2, 1)); err != nil {
			t.Errorf("a write with one dead node of three: %v", err)
		}
		t.Log(c.CheckLedger(l, 2))
	})
}

// A replica that lost its log, and whose data the others' logs no longer have,
// waits for a copy and says so, on the leader and in its row; its node is ready
// after the time that copies may take, and counts what still syncs.
func TestReplicaThatLostItsLogAndNeedsACopySaysSo(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		c := StartNew(t, 3, func(_ int, cfg *config.Config) { cfg.Storage.Sync.Enabled = false })
		k := c.Client(0)
		if _, err := k.Write(t.Context(), batch("dev", 20, 1, 1)); err != nil {
			t.Fatal(err)
		}
		c.awaitLevel() // a replica that n3 has never had has no log to lose
		c.Crash(2)
		c.AwaitLeaders(30 * time.Second)
		if _, err := k.Write(t.Context(), batch("dev", 20, 1, 2)); err != nil {
			t.Fatal(err)
		}
		c.trimAll(t, 0, 1)
		if _, err := k.Write(t.Context(), batch("dev", 20, 1, 3)); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(c.nodes[2].Config.DataDir, "log")); err != nil {
			t.Fatal(err)
		}
		c.Start(2)
		group := groupOf(batch("dev", 1, 1, 1)[0].Device)
		c.Await("the group says why", time.Minute, func() string {
			rows, err := k.Groups(t.Context())
			at := slices.IndexFunc(rows, func(row api.Group) bool { return row.GroupID == group })
			if err != nil || at < 0 {
				return fmt.Sprintf("no row: %v", err)
			}
			for _, r := range rows[at].Replicas {
				if r.Node == "n3" && r.State == api.ReplicaSyncing && strings.Contains(r.Why, "runs under another id than") && strings.Contains(r.Why, "needs a copy") && strings.Contains(r.Why, "storage.sync.enabled is false") {
					return ""
				}
			}
			return fmt.Sprintf("%+v", rows[at].Replicas)
		})
		n := c.nodes[2].Node()
		c.Await("n3 says that its replicas do not count", 10*time.Second, func() string {
			missing := strings.Join(n.Missing(), "; ") // one that has heard the leader may be called behind instead
			if !strings.HasSuffix(missing, "not counted as replicas yet") || strings.Contains(missing, "no leader") || strings.Contains(missing, "not open") {
				return missing
			}
			return ""
		})
		time.Sleep(5 * time.Minute)
		groups := len(n.Meta().Table().Assignments)
		if lacks := n.Missing(); len(lacks) > 0 || n.Syncing() != groups {
			t.Errorf("after five minutes n3 lacks %v, %d of %d groups sync", lacks, n.Syncing(), groups)
		}
		if g, _ := c.Group(2, group); !slices.ContainsFunc(c.memberIDs(group), func(id membership.ServerID) bool { return id.Name == "n3" && id.Generation == 0 }) {
			t.Errorf("the old id of %s was removed without another in its place: %v", g.Self(), c.memberIDs(group))
		}
		// What does not start by itself can be asked for, at any node.
		jobs, err := c.nodes[0].Node().Gateway().Resync(t.Context(), gateway.ResyncRequest{Target: "n3"})
		if err != nil || len(jobs) != groups {
			t.Fatalf("%d jobs: %v", len(jobs), err)
		}
		c.awaitResyncs(t, 2, groups)
		if lacks := n.Missing(); len(lacks) > 0 || n.Syncing() != 0 {
			t.Errorf("n3 lacks %v, %d groups sync", lacks, n.Syncing())
		}
		if compared, err := c.CompareRoots(); err != nil || compared != groups {
			t.Errorf("%d groups: %v", compared, err)
		}
	})
}

// memberIDs are the members of a group as its leader knows them.
func (c *Cluster) memberIDs(group uint32) (ids []membership.ServerID) {
	if i, ok := c.Leader(group); ok {
		g, _ := c.Group(i, group)
		members, _, _ := g.Members()
		for _, m := range members {
			ids = append(ids, m.ID)
		}
	}
	return ids
}
