package clustertest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/raftgroup"
	"github.com/flotilla-db/flotilla/rpc/client"
)

// I2: a leader that is cut off together with a server that has no vote does not
// answer linearizable reads from what it still holds. raft's own VerifyLeader
// would let it, for as long as its lease: it counts servers without a vote.
func TestI2LeaderCutOffWithANonVoterReadsNothingOld(t *testing.T) {
	Run(t, 3*time.Minute, func(t *testing.T) {
		c := StartNew(t, 4, nil)
		group := groupOf("dev")
		write := func(k *client.Client, value int64) error {
			_, err := k.Write(t.Context(), []client.Point{point("dev", 1, value)})
			return err
		}
		if err := write(c.Client(), 1); err != nil {
			t.Fatal(err)
		}
		leader, attached := c.attachNonVoter(t, group)
		c.Partition(leader, attached)
		inside := c.Client(leader, attached)

		// The other two elect a leader and go on, while the old one still leads.
		c.Await("a leader on the other side", 10*time.Second, func() string {
			for _, i := range c.others(leader, attached) {
				if g, ok := c.Group(i, group); ok && g.IsLeader() && write(c.Client(i), 2) == nil {
					return ""
				}
			}
			return "none that takes a write"
		})
		overwrote := time.Now()
		deposed, _ := c.Group(leader, group)
		asked, old := 0, 0
		for deposed.IsLeader() {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			p, ok, err := inside.Last(ctx, point("dev", 1, 0).Series, client.Linearizable)
			cancel()
			asked++
			if err == nil && (!ok || p.Fields[0].Value.Int64() != 2) {
				t.Fatalf("%v after it was overwritten a linearizable read gives %v", time.Since(overwrote), p)
			}
			if p, ok, err := inside.Last(t.Context(), point("dev", 1, 0).Series, client.Stale); err == nil && ok && p.Fields[0].Value.Int64() == 1 {
				old++ // the old value is there, and a read that asks for less gets it
			}
		}
		t.Logf("%d linearizable reads beside the partition gave nothing old; %d stale ones did", asked, old)
		if asked < 3 || old == 0 {
			t.Error("the test shows nothing")
		}
		c.Heal()
		c.Await("the new value everywhere", 20*time.Second, func() string {
			p, _, err := inside.Last(t.Context(), point("dev", 1, 0).Series, client.Linearizable)
			if err != nil {
				return err.Error()
			}
			if v := p.Fields[0].Value.Int64(); v != 2 {
				t.Fatalf("value %d", v)
			}
			return ""
		})
	})
}

// attachNonVoter adds the node that holds nothing of a group to it, without a
// vote.
func (c *Cluster) attachNonVoter(t *testing.T, group uint32) (leader, attached int) {
	t.Helper()
	table := c.nodes[0].Node().Meta().Table()
	for i, m := range c.nodes {
		if !table.Assignments[group].Holds(m.Name) {
			attached = i
		}
	}
	leader, ok := c.Leader(group)
	if !ok {
		t.Fatal("no leader")
	}
	birth := table.Births[group]
	n := c.nodes[attached].Node()
	if _, err := n.Groups().Ensure(t.Context(), raftgroup.Want{Group: group, Birth: &birth, Assigned: true}); err != nil {
		t.Fatal(err)
	}
	g, _ := c.Group(leader, group)
	_, index, err := g.Members()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.AddNonvoter(t.Context(), n.ID().Server(0), index); err != nil {
		t.Fatal(err)
	}
	return leader, attached
}

func (c *Cluster) others(not ...int) (nodes []int) {
	for i := range c.nodes {
		if !slices.Contains(not, i) {
			nodes = append(nodes, i)
		}
	}
	return nodes
}
