package directory

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/flotilla-db/flotilla/membership"
)

func tableOf(nodes int) *Table {
	t := newTable()
	t.TotalGroups = 256
	for i := 1; i <= nodes; i++ {
		n := row(nodeID(i))
		n.State = membership.NodeUp
		t.Nodes[n.Name] = n
	}
	return t
}

func TestBirthsAvoidWhatSeemsDownWhereTheOthersSuffice(t *testing.T) {
	n2IsDown := func(id membership.NodeID) bool { return id.Name != "n2" }
	for _, c := range []struct{ nodes, factor, voters, groupsOfN2 int }{
		{1, 3, 1, 0}, {2, 3, 2, 8}, {3, 3, 3, 8}, {4, 3, 3, 0}, {5, 1, 1, 0},
	} {
		groups := []uint32{0, 1, 2, 3, 4, 5, 6, 7}
		bear, ok := PlanBirths(tableOf(c.nodes), groups, Policy{Factor: c.factor}, n2IsDown, uuid.NewString)
		onN2 := 0
		for _, b := range bear.Births {
			if len(b.Voters) != c.voters {
				t.Errorf("%d nodes, factor %d: %v", c.nodes, c.factor, b.Voters)
			}
			if _, ok := b.Voter(nodeID(2)); ok {
				onN2++
			}
		}
		if !ok || len(bear.Births) != len(groups) || onN2 != c.groupsOfN2 {
			t.Errorf("%d nodes, factor %d: %d births, %d on n2", c.nodes, c.factor, len(bear.Births), onN2)
		}
	}
	empty := tableOf(1)
	n := empty.Nodes["n1"]
	n.Placeable = false
	empty.Nodes["n1"] = n
	if _, ok := PlanBirths(empty, []uint32{1}, Policy{Factor: 3}, n2IsDown, uuid.NewString); ok {
		t.Error("births without a node that may hold replicas")
	}
}

func TestI6LeaderDiesAmongBirths(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 256)
		awaitVoters(t, members, 3)
		leader := leaderOf(t, members...)
		rest := slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return m == leader })
		seen := make([]map[uint32]string, len(rest)) // lineages as each node first saw them
		var wg sync.WaitGroup
		for i, m := range rest {
			seen[i] = map[uint32]string{}
			wg.Go(func() {
				for g := range uint32(64) {
					if err := m.EnsureGroups(within(t, time.Minute), []uint32{g, 128 + g}); err != nil {
						t.Error(err)
						return
					}
					seen[i][g] = m.Table().Births[g].Lineage
					time.Sleep(10 * time.Millisecond) // of virtual time: the leader dies in between
				}
			})
		}
		eventually(t, "some births", func() bool { return len(rest[0].Table().Births) > 20 })
		if born := len(rest[0].Table().Births); born > 100 {
			t.Fatalf("%d groups were born before the leader died", born)
		}
		n.stop(leader)
		wg.Wait()
		back := n.start(leader.id)
		mustAgree(t, append(rest, back)...)
		table := back.Table()
		if len(table.Births) != 128 {
			t.Errorf("%d groups, want 128", len(table.Births))
		}
		for i := range rest {
			for g, lineage := range seen[i] {
				if table.Births[g].Lineage != lineage {
					t.Errorf("group %d was born as %s and is %s", g, lineage, table.Births[g].Lineage)
				}
			}
		}
	})
}

func BenchmarkApplyBirths(b *testing.B) {
	t := tableOf(9)
	var groups []uint32
	for g := range uint32(256) {
		groups = append(groups, g)
	}
	for b.Loop() {
		bear, _ := PlanBirths(t, groups, Policy{Factor: 3}, func(membership.NodeID) bool { return true }, uuid.NewString)
		if n := len(Encode(bear)); n > 16<<10 {
			b.Fatal(fmt.Sprint(n))
		}
	}
}
