package directory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/membership"
	"github.com/flotilla-db/flotilla/membership/placement"
)

// mustAgree checks that all nodes hold byte-equal tables.
func mustAgree(t *testing.T, members ...*member) {
	t.Helper()
	var index uint64
	for _, m := range members {
		index = max(index, m.Table().Index)
	}
	for _, m := range members {
		must(t, m.WaitFor(within(t, time.Minute), index))
	}
	eventually(t, "equal tables everywhere", func() bool {
		first := encodeTable(members[0].Table())
		return !slices.ContainsFunc(members, func(m *member) bool { return !bytes.Equal(first, encodeTable(m.Table())) })
	})
}

func mustBeSpread(t *testing.T, table *Table) {
	t.Helper()
	loads := placement.CountLoads(table.SortedAssignments())
	most, least := 0, 1<<30
	for _, l := range loads {
		most, least = max(most, l.Primaries), min(least, l.Primaries)
	}
	if float64(most) > placement.MaxSpread*float64(least) {
		t.Fatalf("primaries %d..%d: %v", least, most, loads)
	}
}

func TestThreeNodesJoinAndAllVote(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 256)
		awaitVoters(t, members, 3)
		mustAgree(t, members...)
		table := members[2].Table()
		if len(table.Nodes) != 3 || table.ClusterID != testCluster || table.TotalGroups != 256 {
			t.Fatalf("n3 knows %d nodes of cluster %s with %d groups", len(table.Nodes), table.ClusterID, table.TotalGroups)
		}
	})
}

func TestMetaGroupGrowsToFiveVotersAndNoFurther(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(7, 16)
		awaitVoters(t, members, MaxVoters)
		time.Sleep(30 * time.Second)
		awaitVoters(t, members, MaxVoters)
		mustAgree(t, members...)
	})
}

func TestLoneNodeLeadsAtOnceAlsoAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		began := time.Now()
		m := n.start(nodeID(1))
		n.bootstrap(m, 256)
		n.stop(m)
		m = n.start(nodeID(1), func(c *Config) { c.ExpectState = true })
		must(t, m.EnsureDatabase(within(t, time.Minute), "d"))
		if took := time.Since(began); took > time.Second {
			t.Fatalf("two starts took %v", took)
		}
	})
}

func TestLostStateIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		_, err := Open(Config{Dir: t.TempDir(), Self: nodeID(1), Transport: newTestTransport(nodeID(1)), Caller: caller{n, nodeID(1)}, ExpectState: true})
		if !errors.Is(err, ErrStateLost) {
			t.Fatalf("Open = %v", err)
		}
	})
}

func TestLeaderDiesAndForwardedCommandsSucceed(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 256)
		awaitVoters(t, members, 3)
		dead := leaderOf(t, members...)
		n.stop(dead)
		rest := slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return m == dead })
		var wg sync.WaitGroup
		for i, m := range rest {
			wg.Go(func() {
				for k := range 5 {
					if _, err := m.CreateDatabase(within(t, time.Minute), fmt.Sprintf("d%d-%d", i, k), time.Hour); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		mustAgree(t, rest...)
		back := n.start(dead.id)
		mustAgree(t, append(rest, back)...)
		if got := len(back.Table().Databases); got != 10 {
			t.Fatalf("%d databases, want 10", got)
		}
	})
}

func TestEpochsRefuseWhatIsStale(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 8)
		ctx := within(t, time.Minute)
		must(t, members[1].EnsureGroups(ctx, []uint32{5}))
		a := members[1].Table().Assignments[5].Clone()
		a.Primary, a.Replicas = a.Replicas[0], []string{a.Primary, a.Replicas[1]}
		slices.Sort(a.Replicas)
		_, err := members[1].Apply(ctx, Assign{Assignments: []membership.Assignment{a}})
		must(t, err)
		_, err = members[2].Apply(ctx, Assign{Assignments: []membership.Assignment{a}})
		if !errors.Is(err, ErrStale) {
			t.Fatalf("the same epoch again: %v", err)
		}
		if got := members[1].Table().Assignments[5]; got.Epoch != a.Epoch+1 || got.Primary != a.Primary {
			t.Fatalf("%+v", got)
		}
	})
}

func TestI6GroupsAreBornOnce(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 256)
		var wg sync.WaitGroup
		for i, m := range members {
			for part := range 4 {
				wg.Go(func() {
					var groups []uint32
					for g := range uint32(256) {
						if (int(g)+i+part)%3 != 0 {
							groups = append(groups, g)
						}
					}
					if err := m.EnsureGroups(within(t, time.Minute), groups); err != nil {
						t.Error(err)
					}
					if missing := m.Table().Missing(groups); len(missing) > 0 {
						t.Errorf("%s: %d groups are not in its table", m.id, len(missing))
					}
				})
			}
		}
		wg.Wait()
		mustAgree(t, members...)
		table := members[0].Table()
		if len(table.Births) != 256 {
			t.Fatalf("%d groups, want 256", len(table.Births))
		}
		lineages := map[string]bool{}
		for g, b := range table.Births {
			lineages[b.Lineage] = true
			a := table.Assignments[g]
			if len(b.Voters) != 3 || a.Epoch != 1 || b.Voters[0].Name != a.Primary {
				t.Fatalf("group %d: %+v, %+v", g, b, a)
			}
		}
		if len(lineages) != 256 {
			t.Fatalf("%d lineages", len(lineages))
		}
		mustBeSpread(t, table)
	})
}

func TestI6BirthRecordsNeverChange(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		m := n.cluster(1, 8)[0]
		ctx := within(t, time.Minute)
		must(t, m.EnsureGroups(ctx, []uint32{1}))
		first := m.Table().Births[1]
		again := Bear{Births: []membership.Birth{{Group: 1, Lineage: testCluster, Voters: first.Voters, Epoch: 1}}}
		if _, err := m.Apply(ctx, again); err != nil {
			t.Fatal(err)
		}
		if got := m.Table().Births[1]; got.Lineage != first.Lineage {
			t.Fatalf("the lineage became %s", got.Lineage)
		}
	})
}

func TestGroupsBornOnOneNodeAreFilledAsNodesJoin(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(1, 256)
		var groups []uint32
		for g := range uint32(256) {
			groups = append(groups, g)
		}
		must(t, members[0].EnsureGroups(within(t, time.Minute), groups))
		for i := 2; i <= 3; i++ {
			m := n.start(nodeID(i))
			n.join(m)
			members = append(members, m)
			eventually(t, fmt.Sprintf("%d replicas of each group", i), func() bool {
				for _, a := range m.Table().Assignments {
					if len(a.Nodes()) != i {
						return false
					}
				}
				return true
			})
		}
		a := members[2].Table().Assignments[7]
		if a.State != membership.GroupSyncing {
			t.Fatalf("%+v", a)
		}
		must(t, members[2].Settle(within(t, time.Minute), 7, a.Epoch))
		if got := members[2].Table().Assignments[7]; got.State != membership.GroupActive || got.Epoch != a.Epoch+1 {
			t.Fatalf("%+v", got)
		}
		if err := members[2].Settle(within(t, time.Minute), 7, a.Epoch); !errors.Is(err, ErrStale) {
			t.Fatalf("settled an old epoch: %v", err)
		}
		mustBeSpread(t, members[0].Table())
	})
}

func TestBrokenForwardIsUnknownAndRepeatableOnesAreRepeated(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 8)
		follower := members[1]
		if follower.IsLeader() {
			follower = members[2]
		}
		broken := errors.New("stream broke")
		left := 2
		var mu sync.Mutex
		n.setFault(func(from, _ membership.NodeID) error {
			mu.Lock()
			defer mu.Unlock()
			if from != follower.id || left == 0 {
				return nil
			}
			left--
			return broken
		})
		created, err := follower.CreateDatabase(within(t, time.Minute), "d", 0)
		if err != nil || created {
			t.Fatalf("created = %v, %v: the first attempt made it, the third one answered", created, err)
		}
		mu.Lock()
		left = 1
		mu.Unlock()
		if err := follower.SetSetting(within(t, time.Minute), "replication.factor", "5"); !errors.Is(err, ErrUnknown) {
			t.Fatalf("SetSetting = %v", err)
		}
		table, err := follower.Confirm(within(t, time.Minute))
		must(t, err)
		if table.Settings["replication.factor"] != "5" {
			t.Fatalf("the unknown command was applied, and Confirm shows %v", table.Settings)
		}
	})
}

func TestWithoutAQuorumNothingIsConfirmed(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 8)
		awaitVoters(t, members, 3)
		leader := leaderOf(t, members...)
		for _, m := range members {
			if m != leader {
				n.stop(m)
			}
		}
		const why = "1 of 3 voters of the meta group answer, 2 are needed"
		_, err := leader.Confirm(within(t, 10*time.Second))
		if !errors.Is(err, ErrNoLeader) || !errors.Is(err, context.DeadlineExceeded) || err.Error() != "confirm the table: "+ErrNoLeader.Error()+": "+why {
			t.Fatalf("Confirm = %v", err)
		}
		if err := leader.EnsureDatabase(within(t, 10*time.Second), "d"); err == nil || !strings.HasPrefix(err.Error(), "create a database: ") || !strings.HasSuffix(err.Error(), why) {
			t.Fatalf("EnsureDatabase = %v", err)
		}
		err = leader.EnsureGroups(within(t, 10*time.Second), []uint32{1})
		if !errors.Is(err, ErrNoLeader) && !errors.Is(err, ErrUnknown) {
			t.Fatalf("EnsureGroups = %v", err)
		}
	})
}

func TestConfirmSeesWhatAnotherNodeJustCommitted(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 64)
		for g := range uint32(20) {
			writer, reader := members[g%3], members[(g+1)%3]
			must(t, writer.EnsureGroups(within(t, time.Minute), []uint32{g}))
			table, err := reader.Confirm(within(t, time.Minute))
			must(t, err)
			if len(table.Missing([]uint32{g})) > 0 {
				t.Fatalf("group %d was born, and %s confirmed a table without it", g, reader.id)
			}
		}
	})
}

func TestFollowersLearnOfACommitAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 64)
		for _, m := range members {
			began := time.Now()
			must(t, m.EnsureDatabase(within(t, time.Minute), "from-"+m.id.Name))
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Errorf("%s waited %v for its own command", m.id, took)
			}
		}
	})
}

func TestChangedAddressIsTakenUpEverywhere(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 8)
		before := members[0].Table().Nodes["n2"]
		moved := row(members[1].id)
		moved.RPCAddr = "127.0.0.1:9999"
		must(t, members[1].RegisterNode(within(t, time.Minute), moved))
		mustAgree(t, members...)
		if got := members[2].Table().Nodes["n2"]; got.RPCAddr != moved.RPCAddr || got.Epoch != before.Epoch+1 || !got.RegisteredAt.Equal(before.RegisteredAt) {
			t.Fatalf("%+v", got)
		}
		must(t, members[1].RegisterNode(within(t, time.Minute), moved))
		if got := members[1].Table().Nodes["n2"]; got.Epoch != before.Epoch+1 {
			t.Fatalf("the same row again raised the epoch: %+v", got)
		}
	})
}

func TestNewIncarnationTakesTheOldOnesPlaces(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 8)
		awaitVoters(t, members, 3)
		ctx := within(t, time.Minute)
		must(t, members[0].EnsureGroups(ctx, []uint32{0, 1, 2, 3}))
		old := members[2]
		n.stop(old)
		wiped := n.start(membership.NodeID{Name: "n3", Incarnation: "aaaaaaaa"})
		n.join(wiped)
		eventually(t, "the old incarnation's vote gone, the new one's there", func() bool {
			voters, err := members[0].voters()
			return err == nil && len(voters) == 3 && slices.Contains(voters, wiped.self) && !slices.Contains(voters, old.self)
		})
		if held := wiped.Table().HeldBy("n3"); len(held) != 4 {
			t.Fatalf("n3 holds %d groups, want 4", len(held))
		}
		if _, ok := wiped.Table().Births[0].Voter(wiped.id); ok {
			t.Fatal("the new incarnation is in a birth record: it would bootstrap")
		}
		time.Sleep(time.Minute) // until the leader has stopped trying to tell it
		again := n.start(old.id)
		if err := again.Join(within(t, time.Minute), testCluster, n.peers); !errors.Is(err, ErrReplaced) {
			t.Fatalf("the old incarnation joined: %v", err)
		}
		if err := again.RegisterNode(within(t, time.Minute), row(old.id)); !errors.Is(err, ErrReplaced) {
			t.Fatalf("the old incarnation came back: %v", err)
		}
	})
}

func TestJoinToAnotherClusterIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		n.cluster(1, 8)
		m := n.start(nodeID(2))
		err := m.Join(within(t, time.Minute), "00000000-0000-4000-8000-000000000001", n.peers)
		if !errors.Is(err, ErrForeign) {
			t.Fatalf("Join = %v", err)
		}
	})
}

func TestRestartFromDiskGivesTheSameTable(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(3, 64)
		awaitVoters(t, members, 3)
		must(t, members[1].EnsureGroups(within(t, time.Minute), []uint32{1, 2, 3, 60}))
		must(t, members[2].SetSetting(within(t, time.Minute), "replication.factor", "2"))
		mustAgree(t, members...)
		before := encodeTable(members[0].Table())
		n.stopAll()
		for i := range members {
			members[i] = n.start(nodeID(i+1), func(c *Config) { c.ExpectState = true })
		}
		leaderOf(t, members...)
		mustAgree(t, members...)
		if after := encodeTable(members[1].Table()); !bytes.Equal(before, after) {
			t.Fatalf("%d bytes of table became %d others", len(before), len(after))
		}
	})
}

func TestLateJoinerIsBroughtUpBySnapshot(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		members := n.cluster(1, 64)
		ctx := within(t, 10*time.Minute)
		for i := range 30 {
			must(t, members[0].SetSetting(ctx, "k", fmt.Sprint(i)))
		}
		must(t, members[0].raft().Snapshot().Error())
		must(t, members[0].store.logs.DeleteRange(1, 20))
		m := n.start(nodeID(2))
		n.join(m)
		mustAgree(t, members[0], m)
		if m.Table().configIndex == 0 {
			t.Fatal("the index of the configuration did not travel with the snapshot")
		}
		if got := m.Table().Settings["k"]; got != "29" {
			t.Fatalf("k = %q", got)
		}
	})
}
