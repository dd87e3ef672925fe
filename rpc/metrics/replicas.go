package metrics

import (
	"maps"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/flotilla-db/flotilla/rpc/api"
	"github.com/flotilla-db/flotilla/rpc/gateway"
)

var replicaStates = []string{api.ReplicaReady, api.ReplicaSyncing, api.ReplicaSuspect, api.ReplicaDisputed, api.ReplicaQuarantined, api.ReplicaOffline}

var replicaRoles = []string{api.RoleLeader, api.RoleFollower, api.RoleLearner}

var (
	replicaCount    = describe("replicas", "Replicas of this node by state.", "state")
	roleCount       = describe("replica_roles", "Replicas of this node by role.", "role")
	replicaReady    = describe("replica_ready", "Whether this node's replica of a group is in sync.", "group")
	replicaState    = describe("replica_state", "State of this node's replica of a group: always 1, absent for the states that it is not in.", "group", "state")
	replicaLeads    = describe("replica_leads", "Whether this node leads a group.", "group")
	leaderKnown     = describe("replica_leader_known", "Whether this node's replica knows a leader of its group.", "group")
	replicaTerm     = describe("replica_term", "Raft term of this node's replica of a group.", "group")
	replicaApplied  = describe("replica_applied_index", "Last log index that this node's replica of a group has applied.", "group")
	replicaCommit   = describe("replica_commit_index", "Last log index that this node's replica of a group knows to be committed.", "group")
	replicaLag      = describe("replica_lag_entries", "Entries that this node's replica of a group is behind its leader; absent while it is not known.", "group")
	replicaLog      = describe("replica_log_entries", "Entries in the log of this node's replica of a group.", "group")
	replicaBytes    = describe("replica_bytes", "Bytes on disk of this node's replica of a group.", "group")
	replicaPoints   = describe("replica_points", "Points of this node's replica of a group.", "group")
	replicaContact  = describe("replica_last_contact_seconds", "Age of the last contact of this node's replica of a group with its leader.", "group")
	followerBehind  = describe("follower_needs_copy", "Followers of groups that this node leads which its log does not bring up to date; always 1, absent otherwise.", "group", "node")
	lastProof       = describe("group_last_proof_timestamp_seconds", "When this node last proved all replicas of a group equal, since 1970; absent: not since it began.", "group")
	lastScrub       = describe("replica_last_scrub_timestamp_seconds", "When this node's replica of a group was last read from disk whole, since 1970; absent: never.", "group")
	replicaRootedAt = describe("replica_root_index", "Log index at which this node's replica of a group was last hashed; absent: not since it began.", "group")
)

func replicas(ch chan<- prometheus.Metric, own *gateway.Own) {
	states, roles := map[string]int{}, map[string]int{}
	proofs := maps.Clone(own.Proofs) // of checks that this node ran
	if proofs == nil {
		proofs = map[uint32]api.Time{}
	}
	for i := range own.Replicas {
		s := &own.Replicas[i]
		if s.LastProofAt.After(proofs[s.Group].Time) { // of its copies
			proofs[s.Group] = s.LastProofAt
		}
		states[s.Replica.State]++
		roles[s.Replica.Role]++
		replica(ch, s)
	}
	for _, state := range replicaStates {
		gauge(ch, replicaCount, states[state], state)
	}
	for _, role := range replicaRoles {
		gauge(ch, roleCount, roles[role], role)
	}
	for group, at := range proofs {
		gauge(ch, lastProof, seconds(at), strconv.FormatUint(uint64(group), 10))
	}
}

func replica(ch chan<- prometheus.Metric, s *gateway.ReplicaStatus) {
	group, r := strconv.FormatUint(uint64(s.Group), 10), &s.Replica
	gauge(ch, replicaReady, truth(r.State == api.ReplicaReady), group)
	gauge(ch, replicaState, 1, group, r.State)
	gauge(ch, replicaLeads, truth(r.Role == api.RoleLeader), group)
	gauge(ch, leaderKnown, truth(s.Leader != ""), group)
	gauge(ch, replicaTerm, s.Term, group)
	gauge(ch, replicaApplied, r.AppliedIndex, group)
	gauge(ch, replicaCommit, s.CommitIndex, group)
	entries := uint64(0)
	if r.LogLast >= r.LogFirst && r.LogLast > 0 {
		entries = r.LogLast - r.LogFirst + 1
	}
	gauge(ch, replicaLog, entries, group)
	gauge(ch, replicaBytes, r.Bytes, group)
	gauge(ch, replicaPoints, r.Points, group)
	if r.Lag != nil {
		gauge(ch, replicaLag, *r.Lag, group)
	}
	if r.LastContactMs != nil {
		gauge(ch, replicaContact, float64(*r.LastContactMs)/1000, group)
	}
	if r.RootIndex != nil {
		gauge(ch, replicaRootedAt, *r.RootIndex, group)
	}
	if !s.LastScrubAt.IsZero() {
		gauge(ch, lastScrub, seconds(s.LastScrubAt), group)
	}
	for node := range s.Behind {
		gauge(ch, followerBehind, 1, group, node)
	}
}
