package gateway_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
	"github.com/flotilla-db/flotilla/rpc/internal/fakecluster"
	"github.com/flotilla-db/flotilla/storage"
)

// unchecked verifies group 3, which takes no longer than that and does not come to a check, and gives the reason.
func unchecked(t *testing.T, c *fakecluster.Cluster, longest time.Duration) (reason string) {
	t.Helper()
	begin := time.Now()
	_, r := verifyResult(t, c, "", 3)
	if took := time.Since(begin); took > longest {
		t.Errorf("took %v", took)
	}
	if r.GroupsUnchecked != 1 || r.ExitCode() != 6 {
		t.Fatalf("%+v", r)
	}
	return r.Unchecked[0].Reason
}

// What is known of a replica is the reason, once and in full, and a replica
// that cannot get to the cut is not waited for.
func TestVerifySaysWhatIsKnownOfAReplicaThatIsNotThere(t *testing.T) {
	for _, tt := range []struct {
		name    string
		change  func(node string, s *gateway.ReplicaStatus)
		longest time.Duration
		reason  string
	}{
		{"behind the leader's log", func(node string, s *gateway.ReplicaStatus) {
			if node == "n1" { // it leads group 3
				s.Replica.LogFirst, s.Behind = 100, map[string]string{"n3": "behind the leader's log since 12:00: needs a resync up to index 99"}
			}
		}, time.Second, "n3: behind the leader's log since 12:00: needs a resync up to index 99"},
		{"syncing", func(node string, s *gateway.ReplicaStatus) {
			if node == "n3" {
				s.Replica.State, s.Replica.Why = api.ReplicaSyncing, "waits to be added"
			}
		}, 6 * time.Second, "n3: it did not get to the cut in time: waits to be added"},
		{"slow", func(string, *gateway.ReplicaStatus) {}, 31 * time.Second, "n3: it did not get to the cut in time: it has applied up to 1 of"},
		{"told that it was behind, and is no longer", func(node string, s *gateway.ReplicaStatus) {
			if node == "n1" {
				s.Behind = map[string]string{"n3": "behind"}
			}
		}, 31 * time.Second, "n3: it did not get to the cut in time: behind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := fakecluster.New(t, fakecluster.Options{})
				c.Damage(3, "", []storage.Point{point("a", 1, 1)}) // an entry that all have
				c.SetStuck(3, "n3")
				c.Damage(3, "", []storage.Point{point("a", 2, 1)}) // and one that n3 lacks
				c.OnStatus(func(node string, group uint32, s *gateway.ReplicaStatus) {
					if group == 3 {
						tt.change(node, s)
					}
				})
				if reason := unchecked(t, c, tt.longest); !strings.HasPrefix(reason, tt.reason) {
					t.Error(reason)
				}
			})
		})
	}
}

// A group whose only replica can never lead again is not asked for a cut, three times for ten seconds: the answer is why.
func TestVerifyOfALostGroupAnswersAtOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		nodes  int
		change func(s *gateway.ReplicaStatus)
		reason string
	}{
		"its log is gone": {1, func(s *gateway.ReplicaStatus) {
			s.Replica.State, s.Replica.Role, s.Replica.Why = api.ReplicaSyncing, api.RoleLearner, "log is missing"
		}, "n1: its only replica cannot lead: log is missing"},
		"its shard is damaged": {1, func(s *gateway.ReplicaStatus) {
			s.Replica.State, s.Replica.Why = api.ReplicaQuarantined, "shard is damaged"
		}, "n1: its only replica cannot lead: shard is damaged (hint: no other replica"},
		"all three are": {3, func(s *gateway.ReplicaStatus) {
			s.Replica.State, s.Replica.Why = api.ReplicaQuarantined, "shard is damaged"
		}, "n1: shard is damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := fakecluster.New(t, fakecluster.Options{Nodes: tt.nodes})
				c.SetLeader(3, "")
				c.OnStatus(func(_ string, group uint32, s *gateway.ReplicaStatus) {
					if group == 3 {
						s.Replica.Role = api.RoleFollower
						tt.change(s)
					}
				})
				if reason := unchecked(t, c, time.Second); !strings.Contains(reason, tt.reason) {
					t.Error(reason)
				}
			})
		})
	}
}
