package api

// Group is one row of the group table.
type Group struct {
	GroupID      uint32    `json:"group_id"`
	State        string    `json:"state"` // active, syncing, rebalancing
	Epoch        uint64    `json:"epoch"`
	PrimaryNode  string    `json:"primary_node"`
	ReplicaNodes []string  `json:"replica_nodes"` // without the primary
	Leader       *string   `json:"leader"`
	Term         uint64    `json:"term"`
	CommitIndex  uint64    `json:"commit_index"`
	Replicas     []Replica `json:"replicas"`
	LastProofAt  Time      `json:"last_proof_at"`
	LastScrubAt  Time      `json:"last_scrub_at"`
	Job          *string   `json:"job"`
	Why          string    `json:"why"` // why nobody leads it, "" while somebody does
	UpdatedAt    Time      `json:"updated_at"`
}

// Replica is one node's copy of a group.
type Replica struct {
	Node          string  `json:"node"`
	Role          string  `json:"role"`  // leader, follower, learner
	State         string  `json:"state"` // ready, syncing, suspect, disputed, quarantined, offline
	AppliedIndex  uint64  `json:"applied_index"`
	LogFirst      uint64  `json:"log_first"`
	LogLast       uint64  `json:"log_last"`
	Lag           *uint64 `json:"lag"` // entries behind the leader; null where the replica tells nothing
	Bytes         int64   `json:"bytes"`
	Points        uint64  `json:"points"` // rows stored: one that was written twice counts twice until it is merged
	Root          *string `json:"root"`
	RootIndex     *uint64 `json:"root_index"`
	LastContactMs *int64  `json:"last_contact_ms"`
	Why           string  `json:"why"` // why it is not in sync, "" when it is
}

// The words of Replica.Role and Replica.State.
const (
	RoleLeader   = "leader"
	RoleFollower = "follower"
	RoleLearner  = "learner"

	ReplicaReady       = "ready"
	ReplicaSyncing     = "syncing"
	ReplicaSuspect     = "suspect"
	ReplicaDisputed    = "disputed"
	ReplicaQuarantined = "quarantined"
	ReplicaOffline     = "offline"
)

// Healthy reports whether the group is led and every assigned replica is
// ready. It is the rule behind the verdict line of `flotilla groups`.
func (g *Group) Healthy() bool {
	if g.Leader == nil {
		return false
	}
	for i := range g.Replicas {
		if g.Replicas[i].State != ReplicaReady {
			return false
		}
	}
	return len(g.Replicas) == 1+len(g.ReplicaNodes)
}

// GroupList is a page of the group table.
type GroupList struct {
	Groups        []Group `json:"groups"`
	NextPageToken string  `json:"next_page_token"`
}

// GroupGrid is the group table as compact arrays (`?fields=grid`). Each row is
// [group_id, state, primary, leader, ready replicas, replicas, lag]; state is
// an index into States, primary and leader are indices into Nodes, -1 for none.
type GroupGrid struct {
	Columns       []string  `json:"columns"`
	States        []string  `json:"states"`
	Nodes         []string  `json:"nodes"`
	Groups        [][]int64 `json:"groups"`
	NextPageToken string    `json:"next_page_token"`
}

// DeviceGroup says which group holds a device, and why.
type DeviceGroup struct {
	Database    string   `json:"database"`
	Collection  string   `json:"collection"`
	Device      string   `json:"device"`
	GroupID     uint32   `json:"group_id"`
	HashInput   string   `json:"hash_input"` // what is hashed
	Hash        uint32   `json:"hash"`       // FNV-1a, 32 bits
	TotalGroups uint32   `json:"total_groups"`
	Exists      bool     `json:"exists"` // whether the group was ever written
	PrimaryNode *string  `json:"primary_node"`
	Nodes       []string `json:"nodes"`
	Why         string   `json:"why"`
}
