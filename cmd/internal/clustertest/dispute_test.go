package clustertest

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/client"
	"github.com/flotilla-db/flotilla/storage"
)

// disputeScene is two nodes, which have agreed, with points written since. Trimmed:
// their logs begin just below the agreement.
func disputeScene(t *testing.T, trimmed bool) *rotScene {
	t.Helper()
	s := &rotScene{Cluster: StartNew(t, 2, nil), devices: devicesOfAllGroups()[:6]}
	s.put(t, 1, 40)
	s.awaitLevel()
	if trimmed {
		s.trimAll(t, 0, 1)
	}
	if r := s.verify(t, api.VerifyRequest{}); r.ExitCode() != 0 {
		t.Fatalf("%+v", r)
	}
	s.put(t, 41, 60)
	s.awaitLevel()
	for i := range s.nodes {
		for group := range s.devices {
			g, _ := s.Group(i, uint32(group))
			if first, err := g.LogBegins(); err != nil || trimmed == (first == 1) {
				t.Fatalf("the log of group %d begins at %d, %v", group, first, err)
			}
		}
	}
	return s
}

// put writes points of some times to each device.
func (s *rotScene) put(t *testing.T, from, through int64) {
	t.Helper()
	var points []client.Point
	for _, device := range s.devices {
		for at := from; at <= through; at++ {
			points = append(points, point(device, at, 7*at))
		}
	}
	if _, err := s.Client(0).Write(t.Context(), points); err != nil {
		t.Fatal(err)
	}
}

// alter changes a replica behind the log's back, so that nothing on its node
// shows it.
func (s *rotScene) alter(t *testing.T, node int, group uint32, how storage.Spoiling) {
	t.Helper()
	g, ok := s.Group(node, group)
	if !ok {
		t.Fatalf("group %d is not on %s", group, s.nodes[node].Name)
	}
	done, err := g.Shard().Spoil(t.Context(), how, func(n int) int { return n / 3 })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("group %d on %s: %s", group, s.nodes[node].Name, done.Text)
}

// forgetAgreements removes what the replicas of a group have agreed upon.
func (s *rotScene) forgetAgreements(t *testing.T, group uint32) {
	t.Helper()
	for _, n := range s.nodes {
		if err := os.Remove(filepath.Join(n.Config.DataDir, "groups", strconv.Itoa(int(group)), "agreed")); err != nil {
			t.Fatal(err)
		}
	}
}

// Two replicas differ, and nobody has a majority: the log tells who is wrong, a
// follower or the leader, whether it begins with the first entry or behind the
// last agreement.
func TestTheLogSettlesWhatTwoReplicasDispute(t *testing.T) {
	for _, c := range []struct {
		name    string
		trimmed bool
		leads   bool
		how     storage.Spoiling
	}{
		{"a follower, by the whole log", false, false, storage.SpoilDivergent},
		{"the leader, by the last agreement", true, true, storage.SpoilMissing},
	} {
		t.Run(c.name, func(t *testing.T) {
			Run(t, 5*time.Minute, func(t *testing.T) {
				s := disputeScene(t, c.trimmed)
				const group = 3
				if !c.trimmed {
					s.forgetAgreements(t, group)
				}
				node, ok := s.Leader(group)
				if !ok {
					t.Fatal("no leader")
				}
				if !c.leads {
					node = s.follower(t, group)
				}
				s.alter(t, node, group, c.how)
				r := s.verify(t, api.VerifyRequest{Repair: true})
				if r.ExitCode() != 0 || r.GroupsRepaired != 1 || len(r.Findings) != 1 {
					t.Fatalf("%+v", r)
				}
				if f := r.Findings[0]; f.GroupID != group || f.Node != s.nodes[node].Name || f.Verdict != api.FoundWrong || f.Action != api.ActionRepaired {
					t.Errorf("finding %+v", f)
				}
				if r := s.verify(t, api.VerifyRequest{Deep: true}); r.ExitCode() != 0 || len(r.Findings) != 0 {
					t.Errorf("again: %+v", r)
				}
				if _, err := s.CompareRoots(); err != nil {
					t.Error(err)
				}
				s.reads(t, group, 60)
			})
		})
	}
}

// With neither the last agreement nor the beginning of the log, and where an older
// point was written over since the agreement, nobody knows: nothing is touched.
func TestWhatTheLogDoesNotTellStaysDisputed(t *testing.T) {
	Run(t, 5*time.Minute, func(t *testing.T) {
		s := disputeScene(t, true)
		const gone, over = 2, 4
		s.forgetAgreements(t, gone)
		changed := point(s.devices[over], 5, 1)
		if _, err := s.Client(0).Write(t.Context(), []client.Point{changed}); err != nil {
			t.Fatal(err)
		}
		s.awaitLevel()
		for _, group := range []uint32{gone, over} {
			s.alter(t, s.follower(t, group), group, storage.SpoilDivergent)
		}
		r := s.verify(t, api.VerifyRequest{Repair: true})
		if r.ExitCode() != 5 || r.GroupsRepaired != 0 || len(r.Findings) != 4 {
			t.Fatalf("%+v", r)
		}
		for _, f := range r.Findings {
			if f.Verdict != api.FoundDisputed || f.Action != api.ActionNone {
				t.Errorf("finding %+v", f)
			}
		}
	})
}

// reads reads a device back through both nodes.
func (s *rotScene) reads(t *testing.T, group uint32, want int) {
	t.Helper()
	for i := range s.nodes {
		points := 0
		q := client.Query{Database: database, Collection: collection, Devices: []string{s.devices[group]}}
		if err := s.Client(i).Query(t.Context(), q, func(_ string, c *client.Columns) error {
			points += len(c.Times)
			return nil
		}); err != nil || points != want {
			t.Errorf("read through %s: %d points, %v", s.nodes[i].Name, points, err)
		}
	}
}
